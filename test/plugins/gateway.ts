/** Runs plugins in memory: their setups once, then the hooks of a login, as the core does and without a socket. */
import { sharedWith } from '../../core/gateway/shared-with-workers.ts';
import type { Coordination } from '../../core/workers/coordination.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';
import { GatewayError, parseDatabase } from '../../core/index.ts';
import type {
  AnyPlugin,
  Client,
  Disposer,
  Facts,
  GatewayHandle,
  LoginSession,
  Logger,
  Services,
  Upstream,
} from '../../core/index.ts';

/** One line a plugin logged. */
export interface LogLine {
  readonly fields: object;
  readonly message: string;
}

/** How a client comes. */
export interface Login {
  readonly token: string;
  /** Default `'_'`. */
  readonly user?: string;
  readonly client?: Partial<Client>;
}

/** What a login came to. */
export interface LoggedIn {
  readonly facts: Partial<Facts>;
  readonly upstream: Upstream;
  readonly ends: readonly { readonly at: Date; readonly error: GatewayError }[];
}

/** Plugins with what surrounds them. */
export interface PluginHost {
  readonly lines: readonly LogLine[];
  /** What is not ready, as `/readyz` would say. */
  notReady(): readonly string[];
  /** What `/readyz?verbose` says besides. */
  notes(): readonly string[];
  service<S extends keyof Services>(name: S): Services[S] | undefined;
  /** Runs every `onAuth`. @throws what a hook threw */
  login(login: Login): Promise<LoggedIn>;
  stop(): Promise<void>;
}

/** What outlives a reload: give one map to two hosts. */
export type Kept = Map<string, unknown>;

function logTo(lines: LogLine[]): Logger {
  const write = (fields: object, message: string) => {
    lines.push({ fields, message });
  };
  return { info: write, warn: write, error: write };
}

function sessionFor(
  { token, user = '_', client }: Login,
  log: Logger,
  facts: Partial<Facts>,
  ends: LoggedIn['ends'][number][],
) {
  return {
    id: 'test',
    client: { address: '127.0.0.1', port: 1, listener: 'default', ...client },
    startup: { user, database: 'orders', parameters: {} },
    log,
    facts,
    signal: new AbortController().signal,
    token: () => Promise.resolve(token),
    defer() {},
    establish(fact: keyof Facts, value: never) {
      facts[fact] = value;
    },
    end(error: GatewayError) {
      ends.push({ at: new Date(), error });
    },
    endAt(at: Date, error: GatewayError) {
      ends.push({ at, error });
      return { move() {} };
    },
  } as unknown as LoginSession;
}

/** What workers share, by what is kept: both outlive a reload. */
const shared = new WeakMap<Kept, Coordination>();

/** Boards outlive a reload as well. */
function sharedIn(kept: Kept): Coordination {
  const coordination = shared.get(kept) ?? new SingleProcess();
  shared.set(kept, coordination);
  return coordination;
}

/** Runs every `setup`. @throws what a setup threw */
export async function host(
  plugins: readonly AnyPlugin[],
  directory = '/',
  kept: Kept = new Map(),
  coordination: Coordination = sharedIn(kept),
): Promise<PluginHost> {
  const lines: LogLine[] = [];
  const log = logTo(lines);
  const checks: Parameters<GatewayHandle['ready']>[0][] = [];
  const services: Partial<Services> = {};
  const handle = {
    directory,
    log,
    signal: new AbortController().signal,
    sessions: [],
    keep<T>(key: string, create: () => T): T {
      if (!kept.has(key)) kept.set(key, create());
      return kept.get(key) as T;
    },
    provide<S extends keyof Services>(name: S, service: Services[S]) {
      services[name] = service;
    },
    service: (name: keyof Services) => services[name],
    ...sharedWith({ coordination }, 'test'),
    alone: (_: string, run: (signal: AbortSignal) => void) => run(new AbortController().signal),
    route() {},
    routes: () => new Map(),
    readings: () => ({
      version: 'test',
      draining: false,
      loggingIn: 0,
      roles: [],
      totals: [],
      limits: {},
      reload: { at: 0, failed: false },
    }),
    emit() {},
    accept() {
      throw new Error('there is no listener');
    },
    lookUp: () => Promise.reject(new Error('there is no database')),
    ready(check) {
      checks.push(check);
    },
  } as GatewayHandle;
  const disposers: Disposer[] = [];
  for (const plugin of plugins) {
    const dispose = await plugin.setup?.(handle);
    if (dispose) disposers.push(dispose);
  }
  return {
    lines,
    notReady: () => checks.map((check) => check()).filter((said) => typeof said === 'string'),
    notes: () =>
      checks.flatMap((check) => {
        const said = check();
        return typeof said === 'object' ? [said.note] : [];
      }),
    service: (name) => services[name],
    async login(login) {
      const facts: Partial<Facts> = {};
      const ends: LoggedIn['ends'][number][] = [];
      const session = sessionFor(login, log, facts, ends);
      let upstream: Upstream = {
        entry: 'orders',
        database: parseDatabase('orders'),
        settings: {},
        schemas: [],
        onCheckout: [],
      };
      for (const plugin of plugins)
        upstream = (await plugin.onAuth?.(session as never, upstream)) ?? upstream;
      return { facts, upstream, ends };
    },
    async stop() {
      for (const dispose of disposers) await dispose();
    },
  };
}

/** The GatewayError that `work` ends in. @throws Error if it ends in something else */
export async function refusalOf(work: Promise<unknown>): Promise<GatewayError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}
