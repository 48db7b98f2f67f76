/** Readings of several workers as those of one gateway. */
import type { EntryReading, OverviewParts, PeriodReading, SessionReading } from '../contract/overview.ts';
import type { RoleReading, TotalsReading } from '../contract/readings.ts';
import type { Part } from './worker-overview.ts';

/** What a worker has said, as JSON carries it where it is another one. */
export interface Said<T> {
  readonly worker: number;
  readonly value: T;
}

type Numbers = Readonly<Record<string, number>>;

function sumOf<N extends object>(one: N, other: N): N {
  const sums = Object.entries(one as Numbers).map(([key, count]) => [
    key,
    count + ((other as Numbers)[key] ?? 0),
  ]);
  return Object.fromEntries(sums) as N;
}

/** Joins those with the same key, in the order in which they are met. */
function merged<T>(
  rows: readonly T[],
  keyOf: (row: T) => string,
  join: (one: T, other: T) => T,
): readonly T[] {
  const byKey = new Map<string, T>();
  for (const row of rows) {
    const known = byKey.get(keyOf(row));
    byKey.set(keyOf(row), known === undefined ? row : join(known, row));
  }
  return [...byKey.values()];
}

const joinedPools = (rows: readonly RoleReading[]): readonly RoleReading[] =>
  merged(
    rows,
    ({ entry, role }) => JSON.stringify([entry, role]),
    (one, other) => ({
      entry: one.entry,
      role: one.role,
      clients: sumOf(one.clients, other.clients),
      sessions: one.sessions + other.sessions,
      cancels: one.cancels + other.cancels,
      servers: sumOf(one.servers, other.servers),
      longestWaitMs: Math.max(one.longestWaitMs, other.longestWaitMs),
    }),
  );

/** The settings are those of the first that has some. */
function joinedEntry(one: EntryReading, other: EntryReading): EntryReading {
  const fleet = one.fleet ?? other.fleet;
  return {
    name: one.name,
    settings: one.settings ?? other.settings,
    paused: one.paused || other.paused,
    disabled: one.disabled || other.disabled,
    connections: one.connections + other.connections,
    sessions: one.sessions + other.sessions,
    inSessionMode: one.inSessionMode + other.inSessionMode,
    waiting: one.waiting + other.waiting,
    ...(fleet && { fleet }),
  };
}

/** Of several workers; the own one comes first. */
export const joinedEntries = (rows: readonly EntryReading[]): readonly EntryReading[] =>
  merged(rows, ({ name }) => name, joinedEntry);

/** By entry. */
export function joinedTotals(rows: readonly TotalsReading[]): readonly TotalsReading[] {
  return merged(
    rows,
    ({ entry }) => entry,
    ({ entry, ...one }, other) => ({ entry, ...sumOf<Omit<TotalsReading, 'entry'>>(one, other) }),
  );
}

/** Workers that are in their first minute have none. */
function joinedPeriod(periods: readonly (PeriodReading | undefined)[]): PeriodReading | undefined {
  const whole = periods.filter((period) => period !== undefined);
  if (whole.length === 0) return undefined;
  return {
    seconds: Math.max(...whole.map(({ seconds }) => seconds)),
    before: joinedTotals(whole.flatMap(({ before }) => before)),
    after: joinedTotals(whole.flatMap(({ after }) => after)),
  };
}

/** JSON has made a text of the only moment that is an object. */
function withMoments(session: SessionReading): SessionReading {
  const { client } = session;
  const { certificate } = client.tls ?? {};
  if (!certificate) return session;
  const notAfter = new Date(certificate.notAfter);
  return {
    ...session,
    client: { ...client, tls: { ...client.tls, certificate: { ...certificate, notAfter } } },
  };
}

/** The rows of all, each with its worker. */
function rowsOf<R extends object>(said: readonly Said<readonly R[]>[]): readonly (R & { worker: number })[] {
  return said.flatMap(({ worker, value }) => value.map((row) => ({ ...row, worker })));
}

const values = <T>(said: readonly Said<readonly T[]>[]): readonly T[] => said.flatMap(({ value }) => value);

type Joins = { readonly [P in Part]: (said: readonly Said<OverviewParts[P]>[]) => OverviewParts[P] };

const JOINS: Joins = {
  sessions: (said) =>
    rowsOf(said)
      .map(withMoments)
      .sort((one, other) => one.startedAt - other.startedAt),
  arriving: rowsOf,
  servers: rowsOf,
  pools: (said) => joinedPools(values(said)),
  entries: (said) => joinedEntries(values(said)),
  totals: (said) => joinedTotals(values(said)),
  lastPeriod: (said) => joinedPeriod(said.map(({ value }) => value)),
  memory: (said) =>
    merged(
      values(said),
      ({ name }) => name,
      (one, other) => ({ name: one.name, used: one.used + other.used, total: one.total + other.total }),
    ),
};

/** One part of all workers. */
export function joined<P extends Part>(part: P, said: readonly Said<OverviewParts[P]>[]): OverviewParts[P] {
  return JOINS[part](said);
}
