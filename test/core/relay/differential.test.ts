/**
 * Random sequences of client messages, sent to PostgreSQL directly and through a relay: the transcripts are equal, and
 * whenever both are quiet the relay says of the session what pg_stat_activity says of the backend.
 */
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayError } from '../../../core/errors.ts';
import type { RelayOptions } from '../../../core/relay/relay.ts';
import type { Statement } from '../../../core/statement.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { Messages, direct, frame, openAs, relayed } from '../../support/raw.ts';
import type { Message, RawClient } from '../../support/raw.ts';

const SEQUENCES = Number(process.env['POSTERN_SEQUENCES'] ?? 300);
const SEED = Number(process.env['POSTERN_SEED'] ?? Math.floor(Math.random() * 2 ** 31));

/** mulberry32: small, seeded, good enough to choose messages. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const QUERIES = [
  'select 1',
  'select 1; select 2, 3',
  '',
  'begin',
  'commit',
  'rollback',
  'begin; select 1/0; select 2',
  'nonsense',
  'select 1/0',
  'insert into t values (1)',
  'insert into d values (1), (1)',
  'begin; insert into d values (2), (2)',
  'commit; select 1; begin',
  "do $$ begin raise notice 'note'; end $$",
  "set timezone to 'Europe/Paris'",
  'listen ch; notify ch',
  'select generate_series(1, 300)',
  'copy t to stdout',
  'declare c cursor with hold for select 1',
  'savepoint a',
  'declare p1 cursor for select generate_series(1, 5)',
  'fetch 2 from p1',
  'deallocate all',
  'discard all',
  'prepare s1 as select 7',
  'set local statement_timeout = 5; select pg_sleep(0.03)',
  'insert into t select 8 returning n + 1',
  'vacuum t',
  'commit and chain',
  'copy t to stdout; select 1/0',
  "select set_config('application_name', 'other', false)",
  'select pg_terminate_backend(pg_backend_pid())',
];
const COPIES = [
  'copy t from stdin',
  'copy v from stdin',
  'select 1; copy t from stdin; select 2',
  'copy t from stdin; copy t from stdin',
  'copy t from stdin; select 1/0',
  'begin; copy t from stdin; commit; copy t to stdout',
  'copy d from stdin',
];
const NAMES = ['', 's1', 's2'];
/** What the tap of the second and third run refuses; to PostgreSQL each is an error by itself, in the same place. */
const REFUSED = 'refuse me';
const INT2 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const INT4 = (value: number): Buffer => Buffer.from([0, 0, value >> 8, value & 255]);

interface Made {
  readonly what: string;
  readonly bytes: Buffer;
}

function generator(next: () => number, refusals: boolean): () => Made {
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const sql = (): string => (next() < 0.2 ? pick(COPIES) : pick(QUERIES));
  const parsed = (): string =>
    next() < 0.25
      ? pick(COPIES.slice(0, 2))
      : pick(QUERIES.filter((q) => !q.includes(';') || q.startsWith('do')));
  const target = (): Buffer => Buffer.from(next() < 0.5 ? 'S' : 'P');
  const makers: [number, () => Made][] = [
    [5, () => text('Q', sql())],
    [5, () => text('P', pick(NAMES), parsed())],
    [
      6,
      () =>
        ((portal, name) => ({ what: `B(${portal} <- ${name})`, bytes: frame('B', portal, name, 0, 0, 0) }))(
          pick(['', 'p1']),
          pick(NAMES),
        ),
    ],
    [
      3,
      () =>
        ((kind, name) => ({ what: `D(${String(kind)} ${name})`, bytes: frame('D', kind, name) }))(
          target(),
          pick([...NAMES, 'p1']),
        ),
    ],
    [
      6,
      () =>
        ((portal, rows) => ({ what: `E(${portal} ${rows})`, bytes: frame('E', portal, INT4(rows)) }))(
          pick(['', 'p1']),
          pick([0, 0, 1]),
        ),
    ],
    [
      2,
      () =>
        ((kind, name) => ({ what: `C(${String(kind)} ${name})`, bytes: frame('C', kind, name) }))(
          target(),
          pick([...NAMES, 'p1']),
        ),
    ],
    [7, () => SYNC],
    [2, () => ({ what: 'H', bytes: frame('H') })],
    [3, () => GOOD],
    [1, () => BAD],
    [3, () => DONE],
    [1, () => FAIL],
    [
      1,
      () => ({ what: 'F 177', bytes: frame('F', INT4(177), 1, 1, 2, INT4(4), INT4(2), INT4(4), INT4(3), 1) }),
    ],
    [1, () => ({ what: 'F 0', bytes: frame('F', INT4(0), 0, 0, 0) })],
  ];
  // Whole batches, which chance alone would seldom make: a COPY with its data behind it, Syncs before its end included.
  const batch = (): Made => {
    const parts = [
      text('P', '', pick([...COPIES.slice(0, 2), 'insert into t values (1)', 'select 1'])),
      BIND,
      EXECUTE,
    ];
    for (let i = Math.floor(next() * 6); i > 0; i -= 1)
      parts.push(pick([SYNC, GOOD, GOOD, BAD, DONE, FAIL, SYNC]));
    return {
      what: parts.map(({ what }) => what).join(' '),
      bytes: Buffer.concat(parts.map(({ bytes }) => bytes)),
    };
  };
  makers.push([6, batch]);
  if (refusals) {
    makers.push([3, () => text('Q', REFUSED)], [3, () => text('P', pick(NAMES), REFUSED)]);
    makers.push([1, () => ({ what: 'B(refused)', bytes: frame('B', '', REFUSED, 0, 0, 0) })]);
    makers.push([1, () => ({ what: 'E(refused)', bytes: frame('E', REFUSED, INT4(0)) })]);
  }
  const total = makers.reduce((sum, [weight]) => sum + weight, 0);
  return () => {
    let at = next() * total;
    for (const [weight, make] of makers) if ((at -= weight) < 0) return make();
    throw new Error('unreachable');
  };
}

const text = (type: string, ...values: string[]): Made => ({
  what: `${type}(${values.join(', ')})`,
  bytes: type === 'P' ? frame(type, ...values, INT2(0)) : frame(type, ...values),
});
const BIND: Made = { what: 'B( <- )', bytes: frame('B', '', '', 0, 0, 0) };
const EXECUTE: Made = { what: 'E( 0)', bytes: frame('E', '', INT4(0)) };
const SYNC: Made = { what: 'S', bytes: frame('S') };
const GOOD: Made = { what: 'd good', bytes: frame('d', Buffer.from('7\n')) };
const BAD: Made = { what: 'd bad', bytes: frame('d', Buffer.from('seven\n')) };
const DONE: Made = { what: 'c', bytes: frame('c') };
const FAIL: Made = { what: 'f', bytes: frame('f', 'no more') };

function typesOf(bytes: Buffer): string {
  const messages = new Messages();
  messages.push(bytes);
  return messages.list.map(({ type }) => type).join('');
}

/** Process ids differ between the two connections; where the gateway refuses, so do the texts of errors. */
function shown(messages: readonly Message[], refusals: boolean): string[] {
  return messages.map(({ type, body }) => {
    const text = (type === 'A' ? body.subarray(4) : body).toString('latin1');
    return refusals && type === 'E' && !text.includes('FATAL') ? 'E' : `${type} ${text}`;
  });
}

function isRefused(statement: Statement): boolean {
  switch (statement.kind) {
    case 'function-call':
      return statement.function === 0;
    case 'execute':
      return statement.portal === REFUSED;
    case 'bind':
      return statement.name === REFUSED;
    case 'query':
    case 'parse':
      return statement.sql === REFUSED;
  }
}

function refuse(statement: Statement): Statement {
  if (isRefused(statement)) throw new GatewayError('insufficient_privilege', 'refused');
  return statement;
}

/** How statements are looked at: not at all, by a hook that answers at once, by one that takes its time. */
const TAPS: Record<string, Partial<RelayOptions>> = {
  'nobody looking': {},
  'a synchronous hook': { query: refuse, reads: 'parameters' },
  'an asynchronous hook': {
    query: async (statement) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 2));
      return refuse(statement);
    },
    reads: 'parameters',
  },
};

const postgres = sharedPostgres();
const MADE = `create table t (n int); create table d (n int unique deferrable initially deferred);
  create view v as select n from t union select 1; grant all on t, d, v to writer`;
/** A database for each side: notifications, locks and rows of one are nothing to the other. */
const databases: string[] = [];
const observers: Client[] = [];

beforeAll(async () => {
  databases.push(await freshDatabase(), await freshDatabase());
  for (let i = 0; i < 2; i += 1) {
    const observer = new Client({ connectionString: postgres.url(databases[i]) });
    await observer.connect();
    await observer.query(MADE);
    observers.push(observer);
  }
});
afterAll(() => Promise.all(observers.map((observer) => observer.end())));

const STATES: Record<string, string> = {
  I: 'idle',
  T: 'idle in transaction',
  E: 'idle in transaction (aborted)',
};

/**
 * What the server says of a backend. It reports idle also while it discards everything up to a Sync after an error, and
 * while the answer to a Close waits in its buffer for one.
 */
async function stateOf({ pid, messages }: RawClient, sent: string): Promise<string> {
  const answer = messages.findLast(({ type }) => !'NSA'.includes(type));
  const syncMissing = /[PBDEC][^QFS]*$/.test(sent);
  if (syncMissing || (answer && answer.type !== 'Z')) return 'active';
  // PostgreSQL 18.4 shows the state of before the Sync behind a Query inside a batch; what it told the client counts.
  if (answer && /[PBDEC][^S]*[QF]/.test(sent)) return STATES[String(answer.body)] ?? 'unknown';
  const { rows } = await observers[0]!.query<{ state: string }>(
    'select state from pg_stat_activity where pid = $1',
    [pid],
  );
  return rows[0]?.state ?? 'gone';
}

/** Waits until neither side has said anything new for a while and both said the same, or gives up on sameness. */
async function quiet(a: RawClient, b: RawClient): Promise<void> {
  let still = 0;
  let before = -1;
  for (
    let i = 0;
    i < 400 && still < (a.messages.length === b.messages.length && a.closed === b.closed ? 4 : 60);
    i += 1
  ) {
    await new Promise((resolve) => setTimeout(resolve, 4));
    const now = a.bytes + b.bytes;
    still = now === before ? still + 1 : 0;
    before = now;
  }
}

async function reset(): Promise<void> {
  for (const observer of observers) await observer.query('truncate t, d');
}

/** pg_stat_activity may lag behind what was sent by an instant. */
async function agree(
  plain: RawClient,
  sent: string,
  state: () => string,
): Promise<[server: string, relay: string]> {
  let pair: [string, string] = ['', ''];
  for (let i = 0; i < 20; i += 1) {
    pair = [await stateOf(plain, sent), state()];
    if (pair[0] === pair[1]) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return pair;
}

describe.each(Object.entries(TAPS))('with %s', (name, options) => {
  const refusals = options.query !== undefined;
  const sequences = refusals ? Math.ceil(SEQUENCES / 3) : SEQUENCES;

  test(`${sequences} random sequences give equal transcripts and equal states (POSTERN_SEED=${SEED})`, async () => {
    let uncertain = 0;
    let messages = 0;
    for (let i = 0; i < sequences; i += 1) {
      const outcome = await compare(SEED + i, refusals, options);
      messages += outcome.messages;
      if (outcome.uncertain) uncertain += 1;
    }
    console.log(`${name}: ${sequences} sequences, ${messages} messages, ${uncertain} left uncertain`);
    expect(uncertain).toBeLessThan(sequences / 4);
  }, 600_000);
});

async function compare(seed: number, refusals: boolean, options: Partial<RelayOptions>) {
  const make = generator(random(seed), refusals);
  const dice = random(seed ^ 0x5bd1e995);
  await reset();
  const said: string[] = [];
  let sent = '';
  const steps = Array.from({ length: 1 + Math.floor(dice() * 4) }, () =>
    Array.from({ length: 1 + Math.floor(dice() * 8) }, make),
  );
  const plain = direct(await openAs(postgres, databases[0]!, 'writer'));
  const through = await relayed(await openAs(postgres, databases[1]!, 'writer'), options);
  for (const step of steps) {
    said.push(step.map(({ what }) => what).join(' '));
    const bytes = Buffer.concat(step.map((made) => made.bytes));
    sent += typesOf(bytes);
    plain.send(bytes);
    await sendInPieces(through, bytes, dice);
    await quiet(plain, through);
    const context = `seed ${seed}: ${said.join('  |  ')}`;
    // A refusal that has no place in the order of answers ends the session instead.
    if (refusals && through.relay.uncertain) break;
    const expected = shown(plain.messages, refusals);
    const got = shown(through.messages, refusals);
    // A write to a server that has just closed breaks the socket, and with it what was not read yet.
    const lost = plain.closed && got.at(-1)?.includes('C08006');
    expect(got, context).toEqual(lost ? [...expected.slice(0, got.length - 1), got.at(-1)] : expected);
    expect(through.closed, context).toBe(plain.closed);
    if (plain.closed || through.relay.uncertain) break;
    const [server, relay] = await agree(plain, sent, () => through.relay.state);
    expect(relay, context).toBe(server);
  }
  const { uncertain } = through.relay;
  plain.close();
  through.close();
  await through.relay.done;
  return { uncertain, messages: sent.length };
}

/** Any split of the bytes is the same to the relay. */
async function sendInPieces(through: RawClient, bytes: Buffer, dice: () => number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    const size = dice() < 0.5 ? bytes.length : 1 + Math.floor(dice() * 9);
    through.send(bytes.subarray(at, at + size));
    at += size;
    if (dice() < 0.3) await new Promise((resolve) => setImmediate(resolve));
  }
}
