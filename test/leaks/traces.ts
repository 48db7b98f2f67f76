/** Everything that a session can leave on a connection, named after who left it where that is possible. */
import { query } from './messages.ts';
import { LOCK_CLASS } from './probe.ts';
import type { Session } from './session.ts';

/** What is left, and what the session has to know of it afterwards. */
interface Trace {
  readonly sql: (number: number, unique: string) => string;
  /** The connection stays with the session: a tag or the text says so. */
  readonly pins?: boolean;
  /** The claims are no longer those of the gateway. */
  readonly forges?: boolean;
  /** The session's own settings are gone. */
  readonly resets?: boolean;
  /** Prepared statements are gone. */
  readonly discards?: boolean;
}

const numbered = (number: number): number => 6_000_000 + number;
const set = (name: string, value: (number: number) => string): readonly Trace[] => [
  { sql: (number) => `set ${name} = '${value(number)}'` },
  { sql: (number) => `select set_config('${name}', '${value(number)}', false)` },
  { sql: (number) => `do $$ begin perform set_config('${name}', '${value(number)}', false); end $$` },
];

const mine = (number: number): string =>
  `create temp table if not exists mine (n int); comment on table mine is 'left-${number}'`;

/** What anybody leaves. */
export const traces: readonly Trace[] = [
  ...set('leaks.mark', (number) => `left-${number}`),
  ...set('work_mem', (number) => `${numbered(number)}kB`),
  ...set('statement_timeout', (number) => `${numbered(number)}`),
  ...set('lock_timeout', (number) => `${numbered(number)}`),
  ...set('application_name', (number) => `left-${number}`),
  ...set('request.jwt.claims', (number) => `{"sub":"left-${number}"}`).map((one) => ({
    ...one,
    forges: true,
  })),
  { sql: (number) => `set search_path = left_${number}, leaks` },
  { sql: mine, pins: true },
  { sql: (number) => `do $$ begin ${mine(number)}; end $$`, pins: true },
  { sql: (number, unique) => `select 1 as n into temp left_${number}_${unique}`, pins: true },
  { sql: (number) => `select pg_advisory_lock_shared(${LOCK_CLASS}, ${number})`, pins: true },
  { sql: (number) => `listen left_${number}`, pins: true },
  { sql: (number) => `do $$ begin listen left_${number}; end $$` },
  {
    sql: (number, unique) =>
      `begin; declare left_${number}_${unique} cursor with hold for select 'left-${number}'; commit`,
    pins: true,
  },
  { sql: (number, unique) => `prepare left_${number}_${unique} as select 'left-${number}'`, pins: true },
  { sql: () => 'reset all', forges: true, resets: true },
  { sql: () => 'discard all', forges: true, resets: true, discards: true },
];

/** What only wreckers leave: it bears no name, or stands in the way of a reset. */
export const wrecks: readonly Trace[] = [
  { sql: () => 'set default_transaction_read_only = on' },
  {
    sql: () =>
      'set default_transaction_isolation = serializable; set default_transaction_read_only = on; set default_transaction_deferrable = on',
  },
  { sql: () => 'set standard_conforming_strings = off' },
  { sql: () => `set client_encoding = 'LATIN1'` },
  { sql: () => 'set role common' },
  { sql: () => `select set_config('role', 'common', false)` },
  { sql: () => `select nextval('leaks.numbers')` },
  // A reset that begins with DISCARD ALL is ended by the time-out, and everything stays.
  {
    sql: (number, unique) => `do $$ begin for i in 1..400 loop
      execute format('create temp table if not exists left_${number}_${unique}_%s (n int primary key, t text)', i); end loop;
      perform set_config('leaks.mark', 'left-${number}', false);
      perform set_config('statement_timeout', '2ms', false); end $$`,
    pins: true,
  },
];

/** Leaves one thing. @throws Over if the session has ended */
export async function leave(session: Session, trace: Trace): Promise<void> {
  const { run, person } = session;
  run.findings.event('traces left');
  const unique = `${session.id}_${run.random.below(1_000_000)}`;
  const { errors } = await session.ask(query(trace.sql(person.number, unique)));
  if (errors.length > 0) return;
  if (trace.pins) session.pinned = true;
  if (trace.forges && session.pinned) session.forged = true;
  if (trace.resets) session.own.reset();
  if (trace.discards) session.prepared.clear();
}
