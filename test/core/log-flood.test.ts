/** What strangers can make the log say is bounded, and what was left out is counted. */
import { Writable } from 'node:stream';
import { afterEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { createLogger, unauthenticatedLog } from '../../core/telemetry/log.ts';
import { GatewayError } from '../../core/index.ts';
import type { AnyPlugin } from '../../core/index.ts';
import { LogSampler, SPAN_MS } from '../../core/telemetry/log-sampler.ts';
import { databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { LogLine, RunningGateway, TestConfig } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { lineV1 } from '../support/proxy-headers.ts';
import { RawClient, message, startup } from '../support/raw-client.ts';

const MANY = 250;
const HELLO = startup({ user: 'alice', database: 'orders' });
afterEach(() => vi.useRealTimers());

async function start(more: Partial<TestConfig> = {}): Promise<RunningGateway> {
  const running = await startGateway({
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [mapTo('reader')],
    logLevel: 'info',
    ...more,
  });
  onTestFinished(() => running.gateway.stop());
  return running;
}

/** Many clients, a few at a time. */
async function flood(port: number, visit: (client: RawClient) => unknown): Promise<void> {
  const one = async (): Promise<void> => {
    for (let turn = 0; turn < MANY / 10; turn += 1) {
      const client = await RawClient.connect(port);
      await visit(client);
      client.destroy();
    }
  };
  await Promise.all(Array.from({ length: 10 }, one));
}

/** Lines of this text that were written, and those that were left out, once the gateway has stopped. */
async function reckoning(
  { gateway, lines }: RunningGateway,
  text: string,
): Promise<{ written: number; suppressed: number }> {
  await gateway.stop();
  const left = lines('log lines left out').filter(({ of }) => (of as LogLine)['line'] === text);
  const suppressed = left.reduce((sum, line) => sum + Number(line['suppressed']), 0);
  return { written: lines(text).length, suppressed };
}

describe('a flood of', () => {
  test.each<[string, string, Partial<TestConfig>, (client: RawClient) => unknown]>([
    [
      'wrong passwords',
      'login refused',
      {},
      async (client) => {
        client.send(HELLO, message('p', 'wrong\0'));
        await client.rest();
      },
    ],
    [
      'PROXY headers from where none is trusted',
      'refused',
      {},
      async (client) => {
        client.send(lineV1('PROXY TCP4 127.0.0.9 127.0.0.1 4711 6432'));
        await client.rest();
      },
    ],
    [
      'clients that leave when they are asked for a password',
      'close',
      {},
      async (client) => {
        client.send(HELLO);
        await client.until('R');
      },
    ],
    [
      'clients that a plugin warns of',
      'not welcome',
      {
        plugins: [
          {
            name: 'warner',
            onStartup({ log }) {
              log.warn({}, 'not welcome');
              throw new GatewayError('invalid_authorization_specification', 'go away');
            },
          } satisfies AnyPlugin,
          mapTo('reader'),
        ],
      },
      async (client) => {
        client.send(HELLO);
        await client.rest();
      },
    ],
  ])(
    '%s is a hundred lines in ten seconds, and a number',
    async (_, text, config, visit) => {
      const heard = vi.fn();
      const watcher: AnyPlugin = { name: 'watcher', on: { login: heard, refused: heard, close: heard } };
      const running = await start({
        ...config,
        plugins: [...(config.plugins ?? [mapTo('reader')]), watcher],
      });
      await flood(running.port, visit);
      await vi.waitFor(() => expect(heard.mock.calls.length).toBeGreaterThanOrEqual(MANY), 30_000);
      const { written, suppressed } = await reckoning(running, text);
      expect(written + suppressed).toBe(MANY);
      expect(suppressed).toBeGreaterThan(0);
    },
    120_000,
  );
});

test('who is logged in has every line that is no warning', async () => {
  const said: AnyPlugin = {
    name: 'said',
    on: {
      login({ session }) {
        for (let line = 0; line < MANY; line += 1) session.log.info({ line }, 'said');
      },
    },
  };
  const { port, lines } = await start({ plugins: [mapTo('reader'), said] });
  const client = await RawClient.connect(port);
  client.send(HELLO, message('p', 'canary-a-good-token\0'));
  await client.until('Z');
  client.destroy();
  expect(lines('said')).toHaveLength(MANY);
});

describe('the sampler', () => {
  function sampler(): { told: unknown[]; sampler: LogSampler } {
    vi.useFakeTimers();
    const told: unknown[] = [];
    const made = new LogSampler(({ level, line, suppressed }) => told.push([level, line, suppressed]));
    return { told, sampler: made };
  }
  const many = (made: LogSampler, line: string, count = MANY): number =>
    Array.from({ length: count }, () => made.passes('warn', line)).filter(Boolean).length;

  test('tells at the end of the span what was left out, though nothing comes any more', () => {
    const { told, sampler: made } = sampler();
    expect(many(made, 'a')).toBe(100);
    expect(many(made, 'b', 100)).toBe(100);
    expect(told).toEqual([]);
    vi.advanceTimersByTime(SPAN_MS);
    expect(told).toEqual([['warn', 'a', MANY - 100]]);
    expect(many(made, 'a', 1)).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('does not remember more kinds than a hundred, whatever plugins call things', () => {
    const { told, sampler: made } = sampler();
    let passed = 0;
    for (let kind = 0; kind < 10_000; kind += 1) passed += Number(made.passes('warn', `kind ${kind}`));
    expect(passed).toBe(200);
    vi.advanceTimersByTime(SPAN_MS);
    expect(told).toEqual([['warn', '', 10_000 - 200]]);
  });
});

test('level debug leaves nothing out', () => {
  const lines = (level: 'debug' | 'info'): number => {
    let count = 0;
    const sink = new Writable({ write: (_chunk, _, done) => done(void (count += 1)) });
    const log = unauthenticatedLog(createLogger(level, sink), { listener: 'default' });
    for (let line = 0; line < MANY; line += 1) log.info({ line }, 'refused');
    return count;
  };
  expect(lines('debug')).toBe(MANY);
  expect(lines('info')).toBe(100);
});
