/** What the gateway has and has done, as instruments that are read when somebody asks: nothing is counted for them. */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Attributes, BatchObservableResult, Meter, Observable } from '@opentelemetry/api';
import type { Readings, RoleReading, TotalsReading } from '../../core/index.ts';

/** Where the numbers are from. */
export interface GaugeParts {
  readonly meter: Meter;
  readonly readings: () => Readings;
  /** Whether connections are told by role. */
  readonly roles: boolean;
}

type Kind = 'counter' | 'gauge';
type Value = readonly [value: number, labels?: Attributes];
type Read<T> = (from: T) => readonly Value[];
type Row<T> = readonly [name: string, kind: Kind, unit: string, description: string, read: Read<T>];

const seconds = (ms: number): number => ms / 1_000;

const total =
  (read: (one: TotalsReading) => number, labels: Attributes = {}): Read<Readings> =>
  ({ totals }) =>
    totals.map((one) => [read(one), { database: one.entry, ...labels }]);

const all =
  (...reads: readonly Read<Readings>[]): Read<Readings> =>
  (from) =>
    reads.flatMap((read) => read(from));

const GATEWAY: readonly Row<Readings>[] = [
  [
    'postern.up',
    'gauge',
    '',
    '1 while logins are taken, 0 while the gateway shuts down',
    ({ draining }) => [[draining ? 0 : 1]],
  ],
  [
    'postern.build_info',
    'gauge',
    '',
    'Always 1; the version is a label',
    ({ version }) => [[1, { version }]],
  ],
  [
    'postern.config.last_reload_successful',
    'gauge',
    '',
    '0 after a reload that failed',
    ({ reload }) => [[reload.failed ? 0 : 1]],
  ],
  [
    'postern.config.last_reload_success_timestamp',
    'gauge',
    's',
    'When the config came into force',
    ({ reload }) => [[seconds(reload.at)]],
  ],
  [
    'postern.client.logins_in_progress',
    'gauge',
    '',
    'Sessions that have not found their database yet',
    ({ loggingIn }) => [[loggingIn]],
  ],
  [
    'postern.server.connections_limit',
    'gauge',
    '',
    'Most server connections: pool.size',
    ({ limits }) => Object.entries(limits).map(([database, limit]) => [limit, { database }]),
  ],
  [
    'postern.queries',
    'counter',
    '',
    'Query messages, and batches of the extended protocol, that were answered',
    total(({ queries }) => queries),
  ],
  [
    'postern.transactions',
    'counter',
    '',
    'Answers after which no transaction was open',
    total(({ transactions }) => transactions),
  ],
  [
    'postern.query.time',
    'counter',
    's',
    'Time that sessions were at work for a statement',
    total(({ queryMs }) => seconds(queryMs)),
  ],
  [
    'postern.transaction.time',
    'counter',
    's',
    'Time that sessions were in a transaction',
    total(({ transactionMs }) => seconds(transactionMs)),
  ],
  [
    'postern.pool.wait',
    'counter',
    's',
    'Time that sessions waited for a server connection',
    total(({ waitMs }) => seconds(waitMs)),
  ],
  [
    'postern.pool.assignments',
    'counter',
    '',
    'Server connections that were lent',
    total(({ assignments }) => assignments),
  ],
  [
    'postern.bytes',
    'counter',
    'By',
    'Bytes from clients and to them, inside TLS',
    all(
      total(({ received }) => received, { direction: 'received' }),
      total(({ sent }) => sent, { direction: 'sent' }),
    ),
  ],
  [
    'postern.parses',
    'counter',
    '',
    'Parse messages, of clients and to servers',
    all(
      total(({ clientParses }) => clientParses, { side: 'client' }),
      total(({ serverParses }) => serverParses, { side: 'server' }),
    ),
  ],
  ['postern.binds', 'counter', '', 'Bind messages of clients', total(({ binds }) => binds)],
];

/** Adds up what has the same labels. */
function grouped(
  roles: readonly RoleReading[],
  byRole: boolean,
  read: (one: RoleReading) => Readonly<Record<string, number>>,
): readonly Value[] {
  const sums = new Map<string, readonly [number, Attributes]>();
  for (const one of roles) {
    for (const [state, count] of Object.entries(read(one))) {
      const labels = { database: one.entry, ...(byRole && { role: one.role }), state };
      const key = JSON.stringify(labels);
      sums.set(key, [(sums.get(key)?.[0] ?? 0) + count, labels]);
    }
  }
  return [...sums.values()];
}

function longestWaits({ roles }: Readings): readonly Value[] {
  const longest = new Map<string, number>();
  for (const { entry, longestWaitMs } of roles)
    longest.set(entry, Math.max(longest.get(entry) ?? 0, longestWaitMs));
  return [...longest].map(([database, ms]) => [seconds(ms), { database }]);
}

function connections(byRole: boolean): readonly Row<Readings>[] {
  return [
    [
      'postern.client.connections',
      'gauge',
      '',
      'Sessions by what they do',
      ({ roles }) => grouped(roles, byRole, ({ clients }) => clients),
    ],
    [
      'postern.server.connections',
      'gauge',
      '',
      'Server connections by what they are used for',
      ({ roles }) => grouped(roles, byRole, ({ servers }) => servers),
    ],
    [
      'postern.pool.longest_wait',
      'gauge',
      's',
      'How long the session has waited that waits longest now',
      longestWaits,
    ],
  ];
}

const STARTED = Date.now() - performance.now();

const PROCESS: readonly Row<Readings>[] = [
  [
    'process.cpu',
    'counter',
    's',
    'CPU time, of user and system',
    () => [[(process.cpuUsage().user + process.cpuUsage().system) / 1_000_000]],
  ],
  ['process.resident_memory', 'gauge', 'By', 'Resident memory', () => [[process.memoryUsage.rss()]]],
  ['process.start_time', 'gauge', 's', 'When the process started', () => [[seconds(STARTED)]]],
];

/** Registers them. The function that comes back ends the only thing that takes time of its own, the look at the event loop. */
export function registerGauges({ meter, readings, roles }: GaugeParts): () => void {
  const delay = monitorEventLoopDelay({ resolution: 20 });
  delay.enable();
  const lag: Row<Readings> = [
    'postern.event_loop.lag',
    'gauge',
    's',
    'How late the event loop is, 99th percentile since the last look',
    () => {
      const ns = delay.percentile(99);
      delay.reset();
      return [[Number.isFinite(ns) ? Math.max(0, ns / 1e9 - 0.02) : 0]];
    },
  ];
  const rows = [...GATEWAY, ...connections(roles), ...PROCESS, lag].map(
    ([name, kind, unit, description, read]) => {
      const about = { unit, description };
      const instrument: Observable =
        kind === 'counter'
          ? meter.createObservableCounter(name, about)
          : meter.createObservableGauge(name, about);
      return { instrument, read };
    },
  );
  const observe = (result: BatchObservableResult): void => {
    const now = readings();
    for (const { instrument, read } of rows) {
      for (const [value, labels] of read(now)) result.observe(instrument, value, labels);
    }
  };
  meter.addBatchObservableCallback(
    observe,
    rows.map(({ instrument }) => instrument),
  );
  return () => delay.disable();
}
