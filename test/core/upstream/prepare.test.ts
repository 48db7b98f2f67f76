import { promiseHooks } from 'node:v8';
import { expect, test } from 'vitest';
import { parseDatabase, parseRole } from '../../../core/contract/names.ts';
import type { ChannelListener } from '../../../core/net/channel.ts';
import type { Upstream } from '../../../core/contract/session.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { PooledServer } from '../../../core/upstream/pool/pooled-servers.ts';
import { keyOf } from '../../../core/upstream/pool-key.ts';
import type { Owner } from '../../../core/upstream/pool/checkout-request.ts';
import { prepare } from '../../../core/upstream/pool/session-preparation.ts';
import type { Prepared } from '../../../core/upstream/pool/session-preparation.ts';
import { ServerMessages } from '../../../core/upstream/server-messages.ts';
import { SessionSettings } from '../../../core/upstream/session-settings.ts';

const upstream: Upstream = {
  entry: 'main',
  database: parseDatabase('main'),
  role: parseRole('reader'),
  settings: {},
  schemas: [],
  onCheckout: [],
};
const scopes = { session: 's', subject: 'a', tenant: 't' };
const owner: Owner = { fingerprint: 'same', scopes, holder: {} };

/** A connection that the session has used, where TimeZone is UTC, is prepared for a client that wants this; what the server is asked. */
async function prepared(
  wanted: Readonly<Record<string, string>>,
  applied: Readonly<Record<string, string>>,
  next = owner,
) {
  const written: Buffer[] = [];
  const channel = {
    listen() {},
    resume() {},
    pause() {},
    unshift() {},
    write: (bytes: Buffer) => written.push(bytes) > 0,
  };
  const server = new PooledServer(keyOf(upstream, false), Infinity, []);
  server.owner = owner;
  server.applied = SessionSettings.of(
    Object.entries(applied).map(([name, value]) => ({ name, value, from: 'client' })),
  );
  const parameters = new Map([['TimeZone', 'UTC']]);
  server.connection = { channel, parameters } as unknown as ServerConnection;
  const startup = { user: 'a', database: 'main', parameters: wanted };
  const closing = new AbortController();
  let outcome: Prepared | undefined;
  const told = (late: Prepared): void => void (outcome = late);
  outcome = prepare(server, { upstream, startup }, next, closing.signal, told) ?? outcome;
  closing.abort(new Error('the pool ends'));
  await expect.poll(() => outcome).toBeDefined();
  const { kind } = outcome as unknown as Prepared;
  return { kind, asked: Buffer.concat(written).toString('latin1') };
}

const another: Owner = { ...owner, holder: {} };

test.each(['TimeZone', 'timezone', 'TIMEZONE'])(
  '%s is the parameter that the server reports as TimeZone',
  async (name) => {
    const [utc, tokyo] = [{ [name]: 'UTC' }, { [name]: 'Asia/Tokyo' }];
    for (const next of [owner, another]) {
      expect(await prepared(utc, utc, next)).toEqual({ kind: 'ready', asked: '' });
      expect(await prepared(utc, tokyo, next)).toEqual({ kind: 'ready', asked: '' });
      // It was set there, and something else has changed it since; or it was changed on another connection of the session.
      for (const applied of [tokyo, utc])
        expect((await prepared(tokyo, applied, next)).asked).toContain('Asia/Tokyo');
    }
  },
);

test('what no server reports is set where another value was applied, and taken back where none is wanted', async () => {
  const [one, two] = [{ work_mem: '1MB' }, { work_mem: '2MB' }];
  for (const next of [owner, another]) {
    expect(await prepared(one, one, next)).toEqual({ kind: 'ready', asked: '' });
    expect((await prepared(two, one, next)).asked).toContain('2MB');
    expect((await prepared({}, one, next)).asked).toContain('work_mem');
  }
});

/** What PostgreSQL answers to a batch that is encoded: a message for each of the client's. */
function answersTo(batch: Buffer): Buffer {
  const asked = new ServerMessages();
  asked.add(batch);
  const answers: Buffer[] = [];
  const reply = (type: string, body: Buffer = Buffer.alloc(0)): void => {
    const head = Buffer.from(`${type}....`);
    head.writeUInt32BE(body.length + 4, 1);
    answers.push(head, body);
  };
  for (let one = asked.take(); one; one = asked.take()) {
    const type = String.fromCharCode(one.type);
    if (type === 'P') reply('1');
    if (type === 'B') reply('2');
    if (type === 'E') reply('D', Buffer.from([0, 1, 0xff, 0xff, 0xff, 0xff]));
    if (type === 'E') reply('C', Buffer.from('SELECT 1\0'));
    if (type === 'C') reply('3');
    if (type === 'S') reply('Z', Buffer.from('I'));
  }
  return Buffer.concat(answers);
}

/** A connection whose server answers when `answer` is called. */
function answering() {
  const written: Buffer[] = [];
  let listener: ChannelListener | undefined;
  const channel = {
    listen: (one: ChannelListener) => void (listener = one),
    resume() {},
    pause() {},
    unshift() {},
    write: (bytes: Buffer) => written.push(bytes) > 0,
  };
  const server = new PooledServer(keyOf(upstream, false), Infinity, []);
  server.owner = owner;
  server.connection = { channel, parameters: new Map() } as unknown as ServerConnection;
  const bytes = (some: Buffer): void => listener?.bytes(some);
  return { server, bytes, answers: () => answersTo(Buffer.concat(written.splice(0))) };
}

test('settings of policies cost a check-out no promise: it goes on in the call that reads the last answer', () => {
  const { server, bytes, answers } = answering();
  const claims = { ...upstream, onCheckout: [() => ({ 'app.user': 'ada', 'app.tenant': 't1' })] };
  const startup = { user: 'a', database: 'main', parameters: {} };
  const { signal } = new AbortController();
  const told: string[] = [];
  let promises = 0;
  const stop = promiseHooks.onInit(() => (promises += 1)) as () => void;
  for (let i = 0; i < 3; i += 1) {
    const outcome = prepare(server, { upstream: claims, startup }, owner, signal, ({ kind }) =>
      told.push(kind),
    );
    const all = answers();
    if (!outcome) bytes(all.subarray(0, 20));
    const before = told.length;
    bytes(all.subarray(20));
    told.push(`${before} before, ${told.length} behind`);
  }
  stop();
  expect(promises).toBe(0);
  expect(told).toEqual([
    'ready',
    '0 before, 1 behind',
    'ready',
    '2 before, 3 behind',
    'ready',
    '4 before, 5 behind',
  ]);
});

test('an answer that the protocol does not allow, or an error behind an error, loses the connection', () => {
  for (const wrong of ['Z\0\0\0\x05T', 'R\0\0\0\x04', '1\0\0\0\x01']) {
    const { server, bytes } = answering();
    const claims = { ...upstream, onCheckout: [() => ({ 'app.user': 'ada' })] };
    const startup = { user: 'a', database: 'main', parameters: {} };
    const told: unknown[] = [];
    const { signal } = new AbortController();
    prepare(server, { upstream: claims, startup }, owner, signal, (outcome) => told.push(outcome));
    bytes(Buffer.from(wrong, 'latin1'));
    bytes(Buffer.from('Z\0\0\0\x05I', 'latin1'));
    expect(told).toEqual([expect.objectContaining({ kind: 'lost', server: 'close' })]);
  }
});
