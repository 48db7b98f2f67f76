/** The plugin contract: plain objects with up to four hooks, made by factories that fail at boot. */
import type { Command } from './command.ts';
import type { Credential, OAuthAnnouncement } from './credential.ts';
import type { EventName, Events } from './events.ts';
import type { FactName, Facts, Identity, RuleName, ServiceName, Services } from './facts.ts';
import type { Lookup, LookupRow } from './lookup.ts';
import type { Readings } from './readings.ts';
import type { RouteOptions } from './route.ts';
import type { CloseReason, Logger, LoginSession, MaybePromise, Session, Upstream } from './session.ts';
import type { Statement } from './statement.ts';

/** Which sessions a plugin sees; decided per session before its first hook. */
export interface Scope {
  /** Names of listeners; absent: all. */
  readonly listeners?: readonly string[];
  /** Names of databases as clients use them; absent: all. */
  readonly databases?: readonly string[];
  /** Credentials that clients are asked for; absent: all. */
  readonly credentials?: readonly Credential[];
}

/** Guards a fact: throw to refuse. `renewed` is false at login, true at `session.renew`. */
export type FactChecks = {
  readonly [F in FactName]?: (value: Facts[F], session: Session, renewed: boolean) => MaybePromise<void>;
};

/** Observes events; cannot refuse, wait or fail. */
export type Observers = { readonly [E in EventName]?: (event: Events[E]) => void };

/** Observes one session. */
export type SessionObservers = Observers & {
  /**
   * `statement` is told only from the first statement on whose text contains this one; until then nothing is looked at but
   * that. Default: of all. Others may have `statement` told of all, and it is then told of all here as well.
   */
  readonly statementsFrom?: string;
};

/**
 * A policy. Hooks run in the order of the config's list; every `onStartup` runs before any `onAuth`.
 * Keep state per session in a WeakMap keyed by the session, and release what you hold with `session.defer`.
 */
export interface Plugin<
  Needs extends FactName = never,
  Provides extends FactName = never,
  Name extends string = string,
  Takes extends Credential = Credential,
> {
  /** Unique in the list (within one scope). */
  readonly name: Name;
  /**
   * The credentials it is for: sessions of clients that are asked for another one do not meet it, as if by `only()`. Plugins for
   * different credentials may provide the same fact. Default: all.
   */
  readonly credentials?: readonly Takes[];
  /** Facts that a plugin earlier in the list provides; checked at boot and by the compiler. */
  readonly needs?: readonly Needs[];
  /** Facts this plugin establishes in `onAuth`; one provider each. A promised fact still absent after it refuses the login. */
  readonly provides?: readonly Provides[];
  /** Run when a fact is established and again when it is renewed, wherever the plugin stands in the list. */
  readonly checks?: FactChecks;
  /**
   * Where clients of OAUTHBEARER get tokens that this plugin takes: sent to whoever asks. Never out of a token. A listener that
   * takes OAUTHBEARER needs exactly one plugin that announces. Default: it announces nothing.
   */
  readonly announces?: OAuthAnnouncement;
  /** Token rules this plugin enforces; a login with a rule that nobody enforces is refused. */
  readonly enforces?: readonly RuleName[];
  /** Roles that `onAuth` may map, for what operators prepare (`postern sql roles`). Default: not known, as with a function. */
  readonly maps?: readonly string[];
  /** What `onQuery` looks at; only that is assembled, the rest streams. Default `'sql'`. */
  readonly reads?: 'kind' | 'sql' | 'parameters';
  /** Set by `only()`; see `credentials` as well. */
  readonly scope?: Scope;
  /** Answers `SET postern.x = '…'`, which is never forwarded, logged or shown to `onQuery`. Throw to refuse. */
  readonly inBand?: Readonly<
    Record<
      `postern.${string}`,
      (session: Session<Needs | Provides, Provides>, value: string) => MaybePromise<void>
    >
  >;
  readonly on?: Observers;
  /**
   * What observes this session alone, besides `on`: asked once, before its first hook. What nobody observes costs nothing:
   * `statement`, `queue` and `hook` are best observed only in the sessions whose turn it is.
   */
  observe?(session: Session): SessionObservers | void;
  /** Parameters that clients may send in the startup packet, directly or in `options`: see `Startup.options`. Others are refused. */
  readonly startupParameters?: readonly `postern.${string}`[];
  /** Commands of the command line, by their words: `postern sql tenant` runs `'sql tenant'`. The config is loaded, and no `setup` has run. */
  readonly commands?: Readonly<Record<string, Command>>;
  /**
   * Once per worker before the first connection that meets this config. The disposer runs when the gateway stops, or when
   * a reload has replaced the config and its last session has ended: a successor has been set up by then. Its signal is aborted
   * when nobody waits for it any more: the process may end at once, and what is not done is worth a line in the log.
   */
  setup?(gateway: GatewayHandle): MaybePromise<void | ((late?: AbortSignal) => MaybePromise<void>)>;
  /** After a client's StartupMessage, before any credential: throw to refuse. */
  onStartup?(session: Session<never, Provides>): MaybePromise<void>;
  /** Who is it, and how do we connect for them: return a new upstream, or nothing. */
  onAuth?(session: LoginSession<Needs, Provides>, upstream: Upstream): MaybePromise<Upstream | void>;
  /** Per message that carries a statement: return nothing, a rewritten statement, or throw to refuse. */
  onQuery?(
    session: Session<Needs | Provides, Provides>,
    statement: Statement,
  ): MaybePromise<Statement | void>;
  /** Exactly once per session that reached `onStartup`, after its other hooks settled. Errors are logged. */
  onClose?(session: Session, reason: CloseReason): MaybePromise<void>;
}

/** The gateway as a plugin's `setup` sees it. */
export interface GatewayHandle {
  /** Sessions open now, those under an earlier config as well. */
  readonly sessions: Iterable<Session>;
  readonly log: Logger;
  /** Aborted right before the disposers run. */
  readonly signal: AbortSignal;
  /** The folder of the config file: what relative paths start from. */
  readonly directory: string;
  /**
   * Makes a value once and returns the same one after a reload: key sets, counters. Kept by the plugin's name and the key
   * until no config that is still met has a plugin of this name.
   */
  keep<T>(key: string, create: () => T): T;
  provide<S extends ServiceName>(name: S, service: Services[S]): void;
  service<S extends ServiceName>(name: S): Services[S] | undefined;
  /**
   * Mounts a handler (Fetch API) on `admin`; `caller` is the operator who asks, absent on public routes. Nothing happens
   * without `admin` in the config.
   */
  route(
    path: string,
    handler: (request: Request, caller?: Identity) => MaybePromise<Response>,
    how?: RouteOptions,
  ): void;
  /** What the gateway has and has done, in plain numbers; the same for all configs. */
  readings(): Readings;
  /**
   * Asks a database one question, on a connection that is used for nothing else. Those about one database as one role are asked one
   * after the other, within 5 s, and their answers have at most 1 MiB.
   * @throws GatewayError `invalid_catalog_name` for a database there is not, others where it cannot be asked or its answer is an error
   */
  lookUp(lookup: Lookup): Promise<readonly LookupRow[]>;
  /** Adds a readiness check: a sentence says not ready, and why; a note is for `/readyz?verbose`, and the gateway is ready. */
  ready(check: () => string | { readonly note: string } | undefined): void;
  /** Tells all observers of an event in this config, whatever their scope. */
  emit<E extends EventName>(event: E, detail: Events[E]): void;
}

/** Any plugin, whatever it needs and provides. */
export type AnyPlugin = Plugin<FactName, FactName>;

/** An entry of the list: `false`, `null` and `undefined` are skipped, so `production && audit()` works. */
export type PluginEntry = AnyPlugin | false | null | undefined;
/** The `plugins` of a config. */
export type PluginList = readonly PluginEntry[];

type Of<P, K extends 'needs' | 'provides'> = P extends {
  readonly [_ in K]?: readonly (infer F extends FactName)[];
}
  ? F
  : never;
type CredentialsOf<P> = P extends { readonly credentials?: readonly (infer C extends Credential)[] }
  ? C
  : never;
/** A fact for those who come with a credential. */
type Given<F extends FactName, C extends Credential> = `${C} ${F}`;
type AllOf<P> = Given<Of<P, 'provides'>, CredentialsOf<P>>;
/** The facts that nobody provides to a client that a plugin may see. Which credentials listeners take is not known here. */
type Lacks<F extends FactName, C extends Credential, Have> = F extends FactName
  ? [Given<F, C> & Have] extends [never]
    ? F
    : never
  : never;
type FactIn<G> = G extends `${Credential} ${infer F}` ? F : never;
type Says<Why extends string> = { readonly postern: Why };
type Fits<P, N extends string, Have> = [Lacks<Of<P, 'needs'>, CredentialsOf<P>, Have>] extends [never]
  ? [AllOf<P> & Have] extends [never]
    ? P
    : Says<`'${N}' provides '${FactIn<AllOf<P> & Have>}', which a plugin above provides already`>
  : Says<`'${N}' needs '${Lacks<Of<P, 'needs'>, CredentialsOf<P>, Have>}': list a plugin that provides it above`>;
// A function has a name, as a plugin has, and everything else of a plugin is optional.
type Check<P, Have> = P extends (...args: never) => unknown
  ? Says<'this is a function: did you forget to call it?'>
  : P extends { readonly name: infer N extends string }
    ? Fits<P, N, Have>
    : P;

/** The list `L` itself if every need is provided above it, else a type whose one property says what is wrong. */
export type Ordered<L extends readonly unknown[], Have = never> = L extends readonly [infer P, ...infer Rest]
  ? readonly [Check<P, Have>, ...Ordered<Rest, Have | AllOf<P>>]
  : L;
