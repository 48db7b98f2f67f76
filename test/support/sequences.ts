/** Random sequences of client messages, and transcripts of what comes back. */
import { Messages, frame } from './raw.ts';
import type { Message } from './raw.ts';

/** mulberry32: small, seeded, good enough to choose messages. */
export function random(seed: number): () => number {
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
  'deallocate s1',
  '/* a comment */ deallocate prepare "s2" -- another',
  'deallocate s2; select 1; deallocate s1',
  'begin; deallocate s1; select 1/0',
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
/** SQL's PREPARE names statements of the connection, which a client's protocol names are not. */
const NEEDS_ONE_CONNECTION = /^prepare\b/;
const NAMES = ['', 's1', 's2'];
/** What the tap of the second and third run refuses; to PostgreSQL each is an error by itself, in the same place. */
export const REFUSED = 'refuse me';
const INT2 = (value: number): Buffer => Buffer.from([value >> 8, value & 255]);
const INT4 = (value: number): Buffer => Buffer.from([0, 0, value >> 8, value & 255]);

/** A message, and how it is told of. */
export interface Made {
  readonly what: string;
  readonly bytes: Buffer;
}

/**
 * Makes messages by chance. `refusals` adds what hooks refuse; `shared` leaves out what no shared connection can offer,
 * `more` adds statements, `schema` has tables of a client's own.
 */
export function generator(
  next: () => number,
  refusals: boolean,
  shared = false,
  more: readonly string[] = [],
  schema = 'public',
): () => Made {
  const own = (sql: string): string => sql.replace(/\b[tdv]\b/g, (table) => `${schema}.${table}`);
  const queries = [...QUERIES.filter((sql) => !shared || !NEEDS_ONE_CONNECTION.test(sql)), ...more].map(own);
  const copies = COPIES.map(own);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  const sql = (): string => (next() < 0.2 ? pick(copies) : pick(queries));
  const parsed = (): string =>
    next() < 0.25
      ? pick(copies.slice(0, 2))
      : pick(queries.filter((q) => !q.includes(';') || q.startsWith('do')));
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
      text('P', '', pick([...copies.slice(0, 2), own('insert into t values (1)'), 'select 1'])),
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

/** The type letters of some messages. */
export function typesOf(bytes: Buffer): string {
  const messages = new Messages();
  messages.push(bytes);
  return messages.list.map(({ type }) => type).join('');
}

/** Process ids differ between the two connections; where the gateway refuses, so do the texts of errors. */
export function shown(messages: readonly Message[], refusals: boolean): string[] {
  return messages.map(({ type, body }) => {
    const text = (type === 'A' ? body.subarray(4) : body).toString('latin1');
    return refusals && type === 'E' && !text.includes('FATAL') ? 'E' : `${type} ${text}`;
  });
}
