/** The connections of `admin`: whoever is of no use to it goes, and does not keep others out. */
import { once } from 'node:events';
import net from 'node:net';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';

const sockets: net.Socket[] = [];
let running: RunningGateway;
let finish: () => void = () => {};
/** Requests of `/slow` that wait. */
let asked = 0;

/** Answers when the test lets it, in more bytes than any socket takes by itself, or with what it was sent. */
const slow: AnyPlugin = {
  name: 'slow',
  setup(gateway) {
    const wait = (): Promise<void> => {
      asked += 1;
      return new Promise<void>((resolve) => (finish = resolve));
    };
    gateway.route('/slow', () => wait().then(() => new Response('slow')), { public: true });
    gateway.route('/large', () => new Response(Buffer.alloc(64 * 1024 * 1024)), { public: true });
    gateway.route('/body', async (request) => new Response(await request.text()), { public: true });
  },
};

beforeAll(async () => {
  running = await startGateway({
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [slow],
    admin: { port: 0 },
  });
  return () => running.gateway.stop();
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** A connection to `admin` with what it has been answered. */
interface Caller {
  readonly socket: net.Socket;
  readonly closed: Promise<unknown>;
  readonly answer: () => string;
}

async function call(text = ''): Promise<Caller> {
  const socket = net.connect({ port: running.adminPort, host: '127.0.0.1' });
  sockets.push(socket);
  socket.on('error', () => {});
  const closed = new Promise((resolve) => socket.once('close', resolve));
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
  await once(socket, 'connect');
  if (text !== '') socket.write(text);
  return { socket, closed, answer: () => answer };
}

/** Sends a byte twice a second for as long as it may. */
function trickle({ socket, closed }: Caller, text: string): void {
  const timer = setInterval(() => socket.write(text), 500);
  void closed.then(() => clearInterval(timer));
}

const GET = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

describe('a connection that is of no use', () => {
  test('is closed, whatever it does instead: nothing, half a request in bits, no next one, no reading', async () => {
    const patient = await call(GET('/slow'));
    const silent = await call();
    const begun = await call('GET /livez HTTP/1.1\r\nHost: x\r\n');
    const headers = await call('GET /livez HTTP/1.1\r\nHost: x\r\nX: ');
    trickle(headers, 'x');
    const body = await call('POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n');
    trickle(body, 'x');
    const chunked = await call('POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n');
    trickle(chunked, '1\r\nx\r\n');
    const idle = await call(GET('/livez'));
    const breaks = await call(GET('/livez'));
    trickle(breaks, '\r\n');
    const deaf = await call(GET('/large'));
    deaf.socket.pause();
    // Who does not read learns of the end by what it sends; a line break between requests is none.
    trickle(deaf, '\r\n');
    await Promise.all(
      [silent, begun, headers, body, chunked, idle, breaks, deaf].map(({ closed }) => closed),
    );
    expect(idle.answer()).toMatch(/^HTTP\/1\.1 200 OK[^]*ok\n$/);
    for (const late of [begun, headers]) expect(late.answer()).toMatch(/^HTTP\/1\.1 408 /);
    // Who waits for an answer that takes its time is of use.
    expect(patient.socket.closed).toBe(false);
    finish();
    await expect.poll(() => patient.answer()).toContain('slow');
  });
});

describe('a flood of connections', () => {
  const many = (text = ''): Promise<Caller[]> => Promise.all(Array.from({ length: 300 }, () => call(text)));
  const open = (callers: readonly Caller[]): number => callers.filter(({ socket }) => !socket.closed).length;

  test.each([
    ['that say nothing', ''],
    ['that begin a request', 'GET /livez HTTP/1.1\r\n'],
    ['that send no body', 'POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n'],
    ['that ask and stay', GET('/livez')],
  ])('%s leaves 256, the latest ones, and a health check is answered', async (_, text) => {
    const flood = await many(text);
    await expect.poll(() => open(flood)).toBeLessThanOrEqual(256);
    expect(flood.at(0)?.socket.closed).toBe(true);
    const check = await call(GET('/livez'));
    await expect.poll(() => check.answer()).toContain('200 OK');
    expect(flood.at(-1)?.socket.closed).toBe(false);
  });

  test('each of which is being answered keeps the place that it has: the next one is refused', async () => {
    const before = asked;
    const waiting = [];
    for (let i = 0; i < 256; i += 1) waiting.push(await call(GET('/slow')));
    await expect.poll(() => asked - before).toBe(256);
    const late = await call(GET('/livez'));
    await late.closed;
    expect([late.answer(), open(waiting)]).toEqual(['', 256]);
    waiting.pop()?.socket.destroy();
    await expect
      .poll(async () => {
        const next = await call(GET('/livez'));
        await new Promise((resolve) => next.socket.once('data', resolve).once('close', resolve));
        return next.answer();
      })
      .toContain('200 OK');
  });
});
