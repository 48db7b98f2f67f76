/** The four hooks compiled from a plugin list: the sole place that knows tapable and its sharp edges. */
import { AsyncParallelHook, AsyncSeriesHook, AsyncSeriesWaterfallHook } from 'tapable';
import {
  checkNewFacts,
  checkOwnFacts,
  refuseBrokenPromises,
  renewFacts,
  requireEnforced,
} from './hooks/fact-checks.ts';
import type { SessionFacts } from './hooks/session-facts.ts';
import type { AnsweredDatabase } from './contract/answered-database.ts';
import type { Credential, OAuthAnnouncement } from './contract/credential.ts';
import type { EventName, Events } from './contract/events.ts';
import type { FactName, Facts } from './contract/facts.ts';
import { compileObservers } from './hooks/observers.ts';
import type { Observed, ObserverFailed } from './hooks/observers.ts';
import type { AnyPlugin } from './contract/plugin.ts';
import { databasesNamed, pluginsOf } from './scopes.ts';
import { after, isPromise, settle } from './hooks/settle.ts';
import type { CloseReason, LoginSession, MaybePromise, Session, Upstream } from './contract/session.ts';
import type { Statement } from './contract/statement.ts';

type Startup = Session<never, FactName>;
type Login = LoginSession<FactName, FactName>;
type Open = Session<FactName, FactName>;
type Locate = (upstream: Upstream) => MaybePromise<Upstream>;
type CloseFailed = (plugin: string, error: unknown) => void;

/** The parts of a statement that `onQuery` reads: the most that one of its plugins declared. */
export type Reads = 'none' | 'kind' | 'sql' | 'parameters';

/** The hooks of one set of plugins. What a plugin throws comes out as it is; the caller tells GatewayErrors apart. */
export interface Hooks {
  /** The plugins of this set, in the order of the list. */
  readonly plugins: readonly AnyPlugin[];
  /** Every `onStartup` in turn, with the checks of what it establishes; the first error rejects. */
  startup(session: Startup, facts: SessionFacts): MaybePromise<void>;
  /**
   * Every `onAuth` in turn, each followed by the checks of the facts it established. Seals `facts`. From the moment an
   * identity is known, `locate` completes what the next plugin sees. Default: nothing is missing.
   * @throws GatewayError `internal_error` for a promised fact that is absent, `invalid_authorization_specification`
   * for a token rule that no plugin of this set enforces
   */
  auth(session: Login, facts: SessionFacts, upstream: Upstream, locate?: Locate): Promise<Upstream>;
  /** Only the checks of what the gateway itself has established: a login without `auth`. */
  check(session: Session, facts: SessionFacts): Promise<void>;
  /**
   * Every `onQuery` in turn; undefined where no plugin has one. Returns and throws synchronously unless a plugin
   * answered with a promise.
   */
  readonly query: ((session: Open, statement: Statement) => MaybePromise<Statement>) | undefined;
  readonly reads: Reads;
  /** Every `onClose` at once, each exactly once whatever the others do; never rejects. */
  close(session: Session, reason: CloseReason, failed: CloseFailed): MaybePromise<void>;
  /** Checks facts that shall replace known ones; the caller swaps them when this resolves. */
  renew(session: Session, facts: Readonly<Partial<Facts>>): Promise<void>;
  /** Answers to `SET postern.x`, by their key. */
  readonly inBand: ReadonlyMap<string, (session: Open, value: string) => Promise<void>>;
  /** Parameters `postern.…` that clients may send in their startup packet. */
  readonly startupParameters: ReadonlySet<string>;
  /** Where clients get tokens: what the plugin of this set that announces an issuer says. Undefined: none does. */
  readonly announces: OAuthAnnouncement | undefined;
  /** Databases that plugins of this set answer themselves, by the names of clients. */
  readonly databases: ReadonlyMap<string, AnsweredDatabase>;
  /** One function per observed event; they never throw. */
  readonly observed: Observed;
  /** As in `SessionObservers`. Default: observers of statements are told of all. */
  readonly statementsFrom?: string | undefined;
}

/** A waterfall would take `null` for the new value: only objects and nothing may come back. */
function objectOrNothing<T>(plugin: AnyPlugin, hook: string, result: T | undefined): T | undefined {
  if (result === undefined || (typeof result === 'object' && result !== null)) return result;
  throw new Error(
    `plugin '${plugin.name}': ${hook} returned ${String(result)} instead of an object or nothing`,
  );
}

function compileStartup(plugins: readonly AnyPlugin[]): Hooks['startup'] {
  const hook = new AsyncSeriesHook<[Startup, SessionFacts]>(['session', 'facts'], 'onStartup');
  for (const plugin of plugins) {
    if (!plugin.onStartup) continue;
    const step = (session: Startup, facts: SessionFacts): MaybePromise<void> =>
      after(plugin.onStartup?.(session), () => checkNewFacts(plugins, plugin, session, facts));
    hook.tapAsync(plugin.name, (session, facts, done) => settle(() => step(session, facts), done));
  }
  if (!hook.isUsed()) return () => undefined;
  return (session, facts) => hook.promise(session, facts);
}

function compileAuth(plugins: readonly AnyPlugin[]): Hooks['auth'] {
  const hook = new AsyncSeriesWaterfallHook<[Upstream, Login, SessionFacts, Locate], Upstream | undefined>(
    ['upstream', 'session', 'facts', 'locate'],
    'onAuth',
  );
  for (const plugin of plugins) {
    if (!plugin.onAuth && !plugin.provides?.length) continue;
    const checked = (
      session: Login,
      facts: SessionFacts,
      located: Upstream,
      changed: Upstream | undefined,
    ): MaybePromise<Upstream> =>
      after(checkNewFacts(plugins, plugin, session, facts), () => {
        refuseBrokenPromises(plugin, facts.known);
        return objectOrNothing(plugin, 'onAuth', changed) ?? located;
      });
    const step = (
      upstream: Upstream,
      session: Login,
      facts: SessionFacts,
      locate: Locate,
    ): MaybePromise<Upstream> =>
      after(facts.known.identity ? locate(upstream) : upstream, (located) =>
        after(plugin.onAuth?.(session, located) as MaybePromise<Upstream | undefined>, (changed) =>
          checked(session, facts, located, changed),
        ),
      );
    hook.tapAsync(plugin.name, (upstream, session, facts, locate, done) => {
      settle<Upstream | undefined>(() => step(upstream, session, facts, locate), done);
    });
  }
  return async (session, facts, upstream, locate = (same) => same) => {
    const connected = (await hook.promise(upstream, session, facts, locate)) ?? upstream;
    facts.seal();
    requireEnforced(plugins, facts.known.rules);
    return connected;
  };
}

type QueryHook = AsyncSeriesWaterfallHook<[Statement, Open], Statement | undefined>;

function tapQuery(hook: QueryHook, plugin: AnyPlugin): void {
  const ask = (session: Open, statement: Statement): MaybePromise<Statement | undefined> => {
    // A bind is assembled as soon as one plugin reads parameters; the others did not ask for it.
    if (statement.kind === 'bind' && plugin.reads !== 'parameters') return undefined;
    // Nothing returned is `void` to the compiler and undefined to the machine.
    const result = plugin.onQuery?.(session, statement) as MaybePromise<Statement | undefined>;
    if (isPromise(result)) return result.then((value) => objectOrNothing(plugin, 'onQuery', value));
    return objectOrNothing(plugin, 'onQuery', result);
  };
  hook.tapAsync(plugin.name, (statement, session, done) => {
    settle<Statement | undefined>(() => ask(session, statement), done);
  });
}

function compileQuery(plugins: readonly AnyPlugin[]): Hooks['query'] {
  const hook: QueryHook = new AsyncSeriesWaterfallHook(['statement', 'session'], 'onQuery');
  for (const plugin of plugins) if (plugin.onQuery) tapQuery(hook, plugin);
  if (!hook.isUsed()) return undefined;
  return (session, statement) => {
    // callAsync and not promise(): with synchronous plugins a statement costs no promise and keeps its place.
    let outcome: { readonly error: Error | null; readonly statement: Statement } | undefined;
    let later: ((outcome: { error: Error | null; statement: Statement }) => void) | undefined;
    hook.callAsync(statement, session, (error, result) => {
      outcome = { error, statement: result ?? statement };
      later?.(outcome);
    });
    if (!outcome) {
      return new Promise((resolve, reject) => {
        later = (late) => (late.error === null ? resolve(late.statement) : reject(late.error));
      });
    }
    if (outcome.error) throw outcome.error;
    return outcome.statement;
  };
}

function compileClose(plugins: readonly AnyPlugin[]): Hooks['close'] {
  const hook = new AsyncParallelHook<[Session, CloseReason, CloseFailed]>(
    ['session', 'reason', 'failed'],
    'onClose',
  );
  for (const plugin of plugins) {
    if (!plugin.onClose) continue;
    // The hook must never hear of an error: a tap that throws keeps the taps after it from running.
    hook.tapAsync(plugin.name, (session, reason, failed, done) => {
      settle(
        () => plugin.onClose?.(session, reason),
        (error) => {
          if (error) failed(plugin.name, error);
          done();
        },
      );
    });
  }
  if (!hook.isUsed()) return () => undefined;
  return (session, reason, failed) => hook.promise(session, reason, failed);
}

const WIDTH: readonly Reads[] = ['none', 'kind', 'sql', 'parameters'];

function widestReads(plugins: readonly AnyPlugin[]): Reads {
  const wanted = plugins.map((plugin) => (plugin.onQuery ? WIDTH.indexOf(plugin.reads ?? 'sql') : 0));
  return WIDTH[Math.max(0, ...wanted)] ?? 'none';
}

function compileInBand(plugins: readonly AnyPlugin[]): Hooks['inBand'] {
  const answers = new Map<string, (session: Open, value: string) => Promise<void>>();
  for (const plugin of plugins) {
    for (const [key, answer] of Object.entries(plugin.inBand ?? {})) {
      answers.set(key, async (session, value) => answer.call(plugin.inBand, session, value));
    }
  }
  return answers;
}

/**
 * Compiles the hooks of one set of plugins: once per config and scope, never per session.
 * `observerFailed` is called once for each observer that throws. Default: it is not called.
 */
export function compileHooks(
  plugins: readonly AnyPlugin[],
  observerFailed: ObserverFailed = () => {},
): Hooks {
  return {
    plugins,
    startup: compileStartup(plugins),
    auth: compileAuth(plugins),
    check: (session, facts) => checkOwnFacts(plugins, session, facts),
    query: compileQuery(plugins),
    reads: widestReads(plugins),
    close: compileClose(plugins),
    renew: (session, facts) => renewFacts(plugins, session, facts),
    inBand: compileInBand(plugins),
    startupParameters: new Set(plugins.flatMap(({ startupParameters }) => startupParameters ?? [])),
    announces: plugins.find(({ announces }) => announces)?.announces,
    databases: new Map(plugins.flatMap(({ databases }) => Object.entries(databases ?? {}))),
    observed: compileObservers(plugins, observerFailed),
  };
}

/** The hooks of one plugin list; a reload makes a new one. */
export class HookSets {
  readonly plugins: readonly AnyPlugin[];
  readonly observerFailed: ObserverFailed;
  /** Clients choose database names, and may choose many: the others are all alike. */
  readonly #databases: ReadonlySet<string>;
  readonly #byCell = new Map<string, Hooks>();
  /** By the places of the plugins in the list: many cells have the same. */
  readonly #compiled = new Map<string, Hooks>();
  #observed: Observed | undefined;

  /** `observerFailed` is called once for each observer that throws. Default: it is not called. */
  constructor(plugins: readonly AnyPlugin[], observerFailed: ObserverFailed = () => {}) {
    this.plugins = plugins;
    this.observerFailed = observerFailed;
    this.#databases = databasesNamed(plugins);
  }

  /** Tells every plugin that observes it, whatever its scope, of something that belongs to no session. */
  tell<E extends EventName>(event: E, detail: Events[E]): void {
    this.#observed ??= compileObservers(this.plugins, this.observerFailed);
    this.#observed[event]?.(detail);
  }

  /**
   * The hooks for sessions of a listener to a database with a credential, by the names of the config and of the client.
   * @param credential Default: the client has not come so far that it is asked for one
   */
  forScope(listener: string, database: string, credential?: Credential): Hooks {
    const cell = { listener, database: this.#databases.has(database) ? database : undefined, credential };
    const key = `${listener}\0${cell.database ?? '\0'}\0${credential ?? ''}`;
    let hooks = this.#byCell.get(key);
    if (!hooks) this.#byCell.set(key, (hooks = this.#compiledFor(pluginsOf(cell, this.plugins))));
    return hooks;
  }

  #compiledFor(members: readonly AnyPlugin[]): Hooks {
    const key = members.map((plugin) => this.plugins.indexOf(plugin)).join();
    const known = this.#compiled.get(key);
    if (known) return known;
    const hooks = compileHooks(members, this.observerFailed);
    this.#compiled.set(key, hooks);
    return hooks;
  }
}
