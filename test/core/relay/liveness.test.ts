/**
 * Random sessions with everything at once: refusals, settings in band, cancels, notices, drains, ends, clients that leave.
 * None hangs, none tears a message, and a server connection that is called dirty answers the next client as a new one.
 * Then the same with several sessions at once on fewer connections, of which some cannot be had in time.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { RelayEnd } from '../../../core/relay/session-end.ts';
import type { Statement } from '../../../core/contract/statement.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { crashWatch } from '../../support/crash-watch.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { frame, openAs, relayed } from '../../support/raw.ts';
import type { Relayed } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSessions } from '../../support/shared-sessions.ts';

const SESSIONS = Number(process.env['POSTERN_SESSIONS'] ?? 250);
const SEED = Number(process.env['POSTERN_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const REFUSED = 'refuse me';
const OWN = "set postern.a = 'b'";
const SQL = [
  'select 1',
  'select pg_sleep(0.005)',
  "select repeat('x', 20000) from generate_series(1, 20)",
  "do $$ begin raise notice 'note'; end $$",
  'begin',
  'commit',
  'rollback',
  'select 1/0',
  'insert into t values (1)',
  'listen ch',
  'notify ch',
  'copy t from stdin',
  'copy v from stdin',
  'copy t to stdout',
  REFUSED,
  REFUSED,
  OWN,
  OWN,
  "select 'ü'",
  "select 'ü'",
  "set client_encoding = 'LATIN1'",
  "set client_encoding = 'UTF8'",
  "set postern.refused = 'b'",
];
const NAMES = ['', '', 's1'];
const NO_ROWS = Buffer.alloc(4);
const error = new GatewayError('admin_shutdown', 'over');

function messages(next: () => number): () => Buffer {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const kinds: readonly (() => Buffer)[] = [
    () => frame('Q', pick(SQL)),
    () => frame('Q', pick(SQL)),
    () => frame('P', pick(NAMES), pick(SQL), 0),
    () => frame('B', pick(NAMES), pick(NAMES), 0, 0, 0),
    () => frame('D', Buffer.from(pick(['S', 'P'])), pick(NAMES)),
    () => frame('E', pick(NAMES), NO_ROWS),
    () => frame('C', Buffer.from(pick(['S', 'P'])), pick(NAMES)),
    () => frame('S'),
    () => frame('S'),
    () => frame('H'),
    () => frame('d', Buffer.from(pick(['7\n', '7\n', 'seven\n']))),
    () => frame('c'),
    () => frame('f', 'no more'),
    () => frame('F', NO_ROWS, 0, 0, 0),
    () =>
      Buffer.concat([
        frame('P', '', pick(SQL), 0),
        frame('B', '', '', 0, 0, 0),
        frame('E', '', NO_ROWS),
        frame('S'),
      ]),
  ];
  return () => pick(kinds)();
}

function refuse(statement: Statement): Statement {
  if ('sql' in statement && statement.sql === REFUSED) {
    throw new GatewayError('insufficient_privilege', 'refused');
  }
  return statement;
}

/** A server of this file's own: some sequences end it, see `crashWatch`. */
let postgres: OwnPostgres;
const database = 'random';

beforeAll(async () => {
  postgres = await startPostgres();
  await postgres.sql(`create database ${database}`);
  await postgres.sql(
    'create table t (n int); create view v as select n from t union select 1; grant all on t, v to writer',
    database,
  );
});
afterAll(() => postgres.stop());
const crashed = crashWatch(() => postgres);

const tick = (ms = 0): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What may happen to a session besides its messages; most of the time nothing. */
function disturb(client: Relayed, next: () => number): Promise<void> | undefined {
  const dice = next();
  if (dice < 0.15) return client.relay.cancel();
  if (dice < 0.3) client.relay.notice('by the way');
  else if (dice < 0.31) client.relay.drain(error);
  else if (dice < 0.32) client.relay.end(error);
  else if (dice < 0.33) client.socket.destroy();
  else if (dice < 0.34) client.socket.resetAndDestroy();
  else if (dice < 0.36) client.send(frame('X'));
  return undefined;
}

async function session(server: ServerConnection, seed: number, log: string[]): Promise<RelayEnd> {
  const next = random(seed);
  const make = messages(next);
  const mode = Math.floor(next() * 3);
  const query = async (statement: Statement): Promise<Statement> => {
    if (next() < 0.5) await tick(next() * 3);
    return refuse(statement);
  };
  const client: Relayed = await relayed(
    { ...server, cancel: () => server.cancel(), close() {} },
    {
      ...(mode > 0 && { query: mode === 1 ? refuse : query, reads: 'parameters' }),
      ...(next() < 0.5 && { statement: () => next() < 0.2 && client.relay.notice('observed') }),
      inBand: async (name) => {
        if (next() < 0.5) await tick(next() * 2);
        if (name !== 'postern.a') throw new GatewayError('invalid_parameter_value', 'no such setting');
      },
    },
  );
  const cancels: Promise<void>[] = [];
  for (let i = 0; i < 20; i += 1) {
    const bytes = Buffer.concat(Array.from({ length: 1 + Math.floor(next() * 5) }, make));
    log.push(bytes.toString('latin1').replaceAll('\0', '·').slice(0, 200));
    const cut = Math.floor(next() * bytes.length);
    client.send(bytes.subarray(0, cut));
    if (next() < 0.3) await tick(next() * 3);
    client.send(bytes.subarray(cut));
    cancels.push(disturb(client, next) ?? Promise.resolve());
  }
  await Promise.all(cancels);
  // Whatever it is in, this brings it to rest.
  client.send(frame('f', 'end'), frame('S'), frame('Q', 'rollback'), frame('Q', "select 'the end'"));
  await expect
    .poll(() => client.closed || client.messages.some(({ body }) => body.includes('the end')))
    .toBe(true);
  const known = client.messages.every(({ type }) => 'TDCZEN123nstIAVGHdcS'.includes(type));
  expect(known, client.messages.map(({ type }) => type).join('')).toBe(true);
  if (!client.closed) client.send(frame('X'));
  return client.relay.done;
}

/** A session on a connection, and an ordinary client behind it where that can be used again. */
async function sessionAndNext(server: ServerConnection, seed: number, log: string[]): Promise<RelayEnd> {
  const end = await session(server, seed, log);
  if (end.server === 'close') return end;
  const after = await relayed({ ...server, cancel: () => server.cancel(), close() {} });
  after.send(frame('Q', "select 'clean'"));
  const said = (): string => after.messages.map(({ type }) => type).join('');
  await expect.poll(() => said().replaceAll(/[ANS]/g, '')).toBe('TDCZ');
  after.send(frame('X'));
  expect((await after.relay.done).server).toBe('dirty');
  return end;
}

test(`${SESSIONS} random sessions neither hang nor leave anything behind (POSTERN_SEED=${SEED})`, async () => {
  let server: ServerConnection | undefined;
  const ends: Record<string, number> = {};
  for (let i = 0; i < SESSIONS; i += 1) {
    const log: string[] = [];
    try {
      server ??= await openAs(postgres, database, 'writer');
      const end = await sessionAndNext(server, SEED + i, log);
      const how = `${end.reason.kind} ${end.server}`;
      ends[how] = (ends[how] ?? 0) + 1;
      if (end.server !== 'close') continue;
    } catch (cause) {
      if (!(await crashed())) throw new Error(`seed ${SEED + i}: ${log.join('  |  ')}`, { cause });
      ends['PostgreSQL itself crashed'] = (ends['PostgreSQL itself crashed'] ?? 0) + 1;
    }
    server?.close();
    server = undefined;
  }
  console.log(ends);
  server?.close();
  expect(ends['PostgreSQL itself crashed'] ?? 0).toBeLessThan(3 + SESSIONS / 50);
}, 600_000);

/** Again and again, while the pool resets and closes. */
async function soon<T>(connect: () => Promise<T>): Promise<T> {
  for (let i = 0; i < 50; i += 1) {
    const made = await connect().catch(() => undefined);
    if (made) return made;
  }
  return connect();
}

/** One of several sessions at once: it is served in the end, or it was ended. */
async function sharing(shared: SharedSessions, seed: number, log: string[]): Promise<void> {
  const next = random(seed);
  const make = messages(next);
  const query = async (statement: Statement): Promise<Statement> => {
    if (next() < 0.3) await tick(next() * 3);
    return refuse(statement);
  };
  const inBand = async (name: string): Promise<void> => {
    if (next() < 0.5) await tick(next() * 2);
    if (name !== 'postern.a') throw new GatewayError('invalid_parameter_value', 'no such setting');
  };
  const hooked = next() < 0.5 && { query, reads: 'parameters' as const };
  const fingerprint = next() < 0.5 ? 'same' : `person ${seed}`;
  const client = await shared.connect({ fingerprint, options: { ...hooked, inBand } });
  const cancels: Promise<void>[] = [];
  for (let i = 0; i < 12; i += 1) {
    const bytes = Buffer.concat(Array.from({ length: 1 + Math.floor(next() * 5) }, make));
    log.push(bytes.toString('latin1').replaceAll('\0', '·').slice(0, 200));
    const cut = Math.floor(next() * bytes.length);
    client.send(bytes.subarray(0, cut));
    if (next() < 0.3) await tick(next() * 5);
    client.send(bytes.subarray(cut));
    cancels.push(disturb(client, next) ?? Promise.resolve());
  }
  await Promise.all(cancels);
  client.send(frame('f', 'end'), frame('S'), frame('Q', 'rollback'));
  const served = (): boolean => client.messages.some(({ body }) => body.includes('the end'));
  for (let i = 0; i < 200 && !client.closed && !served(); i += 1) {
    client.send(frame('S'), frame('Q', 'rollback'), frame('Q', "select 'the end'"));
    await tick(100);
  }
  expect(client.closed || served(), client.messages.map(({ type }) => type).join('')).toBe(true);
  const known = client.messages.every(({ type }) => 'TDCZEN123nstIAVGHdcS'.includes(type));
  expect(known, client.messages.map(({ type }) => type).join('')).toBe(true);
  if (next() < 0.5) client.send(frame('X'));
  else client.close();
  await client.relay.done;
}

test(`${SESSIONS} random sessions that share connections neither hang nor keep any (POSTERN_SEED=${SEED})`, async () => {
  const shared = sharedSessions(postgres, database, 2, 400);
  const once = async (seed: number): Promise<void> => {
    const log: string[] = [];
    await sharing(shared, seed, log).catch((failure: unknown) => {
      // Whoever finds no connection at the login has not come at all.
      if (failure instanceof GatewayError && failure.code === 'too_many_connections') return;
      throw new Error(`seed ${seed}: ${log.join('  |  ')}`, { cause: failure });
    });
  };
  for (let i = 0; i < SESSIONS; i += 5) {
    await Promise.all(Array.from({ length: 5 }, (_, k) => once(SEED + i + k))).catch(
      async (error: unknown) => {
        if (!(await crashed())) throw error;
      },
    );
    await expect.poll(() => shared.pool.lent + shared.pool.waiting).toBe(0);
    const after = await soon(() => shared.connect({ fingerprint: 'after' }));
    after.send(frame('Q', "select 'clean'"));
    const said = (): string =>
      after.messages
        .map(({ type }) => type)
        .filter((type) => type !== 'S')
        .join('');
    await expect.poll(said, { timeout: 30_000, message: `seeds ${SEED + i} and four more` }).toBe('TDCZ');
    after.close();
    await after.relay.done;
  }
  await shared.close();
}, 600_000);
