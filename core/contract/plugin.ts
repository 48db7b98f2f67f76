/** The plugin contract: plain objects with up to four hooks, made by factories that fail at boot. */
import type { AnsweredDatabase } from './answered-database.ts';
import type { Command } from './command.ts';
import type { Credential, OAuthAnnouncement } from './credential.ts';
import type { EventName, Events } from './events.ts';
import type { FactName, Facts, RuleName } from './facts.ts';
import type { GatewayHandle } from './gateway-handle.ts';
import type { ProbeContext, ProbeFinding } from './probe.ts';
import type { Scope } from './scope.ts';
import type { CloseReason, LoginSession, MaybePromise, Session, Upstream } from './session.ts';
import type { Statement } from './statement.ts';
import type { WebSignal } from './web-types.ts';

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
  /**
   * The plugin's name, unique in the list (within one scope).
   *
   * @example name: 'office-hours'
   */
  readonly name: Name;
  /**
   * The credentials it is for: sessions of clients that are asked for another one do not meet it, as if by `only()`. Plugins for
   * different credentials may provide the same fact. Default: all.
   *
   * @example credentials: ['certificate']
   */
  readonly credentials?: readonly Takes[];
  /**
   * Facts that a plugin earlier in the list provides; checked at boot and by the compiler.
   *
   * @example needs: ['identity']
   */
  readonly needs?: readonly Needs[];
  /**
   * Facts this plugin establishes in `onAuth`; one provider each. A promised fact still absent after it refuses the login.
   *
   * @example provides: ['identity']
   */
  readonly provides?: readonly Provides[];
  /**
   * Guards facts: each check runs when its fact is established and again when it is renewed, wherever the plugin stands in the list. Throw to refuse.
   *
   * @example
   * checks: {
   *   identity({ subject }, session, renewed) {
   *     if (!renewed && subject === 'mallory') throw new GatewayError('invalid_authorization_specification', 'not you');
   *   },
   * }
   */
  readonly checks?: FactChecks;
  /**
   * Where clients of OAUTHBEARER get tokens that this plugin takes. It is sent to every client that asks, and never read from a token. A listener that takes
   * OAUTHBEARER needs exactly one plugin that announces.
   *
   * @example announces: { discovery: 'https://id.example/.well-known/openid-configuration', scope: 'openid postern' }
   */
  readonly announces?: OAuthAnnouncement;
  /**
   * The token rules that this plugin enforces. A login with a rule that no plugin enforces is refused.
   *
   * @example enforces: ['maxSession']
   */
  readonly enforces?: readonly RuleName[];
  /**
   * The roles that `onAuth` may map: `postern sql roles` prints what they need on the server. As a function: those at a database, by the
   * name that clients use, or `'*'`. Default: not known, as where a template makes them.
   *
   * @example maps: ['reader', 'writer']
   */
  readonly maps?: readonly string[] | ((database: string) => readonly string[]);
  /**
   * How much of a statement `onQuery` looks at. Only that is assembled; the rest streams. Default `'sql'`.
   *
   * @example reads: 'kind'
   */
  readonly reads?: 'kind' | 'sql' | 'parameters';
  /**
   * Databases that the plugin answers itself, by the names that clients use: without a server, and without `onAuth` of any plugin. `postern/wire` reads and makes the
   * messages. No entry of the config may have such a name, and no other plugin of the scope.
   *
   * @example databases: { echo: { admit: () => ada, serve: async (_, connection) => void connection.open(new Map(), () => {}) } }
   */
  readonly databases?: Readonly<Record<string, AnsweredDatabase>>;
  /**
   * The sessions that the plugin sees. `only()` sets it; see `credentials` as well.
   *
   * @example scope: { listeners: ['public'] }
   */
  readonly scope?: Scope;
  /** The options that the plugin was made with: after a reload the log names those that have another value, and no value. @example options: { from: 9, to: 17 } */
  readonly options?: object;
  /**
   * Answers `SET postern.x = '…'`, which is never forwarded, logged or shown to `onQuery`. Throw to refuse.
   *
   * @example
   * inBand: {
   *   'postern.ticket': (session, value) => session.log.info({ ticket: shown(value) }, 'ticket named'),
   * }
   */
  readonly inBand?: Readonly<
    Record<
      `postern.${string}`,
      (session: Session<Needs | Provides, Provides>, value: string) => MaybePromise<void>
    >
  >;
  /**
   * Observes [events](#events) of all sessions in the plugin's scope.
   *
   * @example
   * on: {
   *   login: ({ session, sqlstate }) => session.log.info({ sqlstate }, 'login seen'),
   * }
   */
  readonly on?: Observers;
  /**
   * Observes this session alone, besides `on`: asked once, before its first hook. What no plugin observes costs nothing, so observe `statement`, `queue` and
   * `hook` only in the sessions whose turn it is.
   *
   * @example
   * observe({ facts }) {
   *   return facts.identity?.subject === 'ada' ? { statement: ({ sql }) => audited.push(sql) } : undefined;
   * }
   */
  observe?(session: Session): SessionObservers | void;
  /**
   * The parameters `postern.…` that clients may send in the startup packet, directly or in `options`: see `startup.options`. Others are refused.
   *
   * @example startupParameters: ['postern.ticket']
   */
  readonly startupParameters?: readonly `postern.${string}`[];
  /**
   * Commands of the command line, by their words: `'mine greet'` is called by these words and its operands (`mine greet Ada`), with `--help` and the checks of arguments made from its
   * declaration. The config is loaded then, and no `setup` has run. In this repository a folder's commands are known without a config by what its
   * `commands.ts` exports.
   *
   * @example
   * commands: {
   *   'mine greet': { summary: 'greets', operands: ['WHO'], run: ({ operands: [who] }) => (who === 'Ada' ? 0 : 1) },
   * }
   */
  readonly commands?: Readonly<Record<string, Command>>;
  /**
   * Runs once per process before the first connection, and again for the plugins of each config that a reload puts in force. The function that it returns undoes
   * it: when the gateway stops, or when a reload has replaced the config and its last session has ended; the successor has been set up by then. The signal that
   * it is given is aborted when the gateway does not wait for it any more.
   *
   * @example
   * setup(gateway) {
   *   const timer = setInterval(() => gateway.log.info({ sessions: [...gateway.sessions].length }, 'sessions'), 60_000);
   *   return () => clearInterval(timer);
   * }
   */
  setup?(gateway: GatewayHandle): MaybePromise<void | ((late?: WebSignal) => MaybePromise<void>)>;
  /**
   * Looks whether what the plugin depends on is there, for `postern check --online`. No `setup` has run, and nothing may stay open. An error that it
   * throws is a finding. Default: nothing is looked at.
   *
   * @example
   * async probe({ signal }) {
   *   const { ok } = await fetch('https://policy.example/health', { signal });
   *   return [{ path: 'policy.url', text: ok ? 'the policy server answers' : 'no answer', level: ok ? 'ok' : 'error' }];
   * }
   */
  probe?(context: ProbeContext): MaybePromise<readonly ProbeFinding[]>;
  /**
   * Runs after a client's StartupMessage, before any credential; every `onStartup` runs before any `onAuth`. Return to let the client pass, throw a
   * `GatewayError` to refuse it.
   *
   * @example
   * onStartup({ startup }) {
   *   if (startup.user === 'postgres') throw new GatewayError('invalid_authorization_specification', 'not through here');
   * }
   */
  onStartup?(session: Session<never, Provides>): MaybePromise<void>;
  /**
   * Says who the client is, and how to connect for it. It may ask for the credential (`await session.token()`, `session.scram(lookup)`), establishes
   * facts, and returns a new `upstream` (role, database, settings, schemas, entry) or nothing. Throw to refuse.
   *
   * @example
   * async onAuth({ facts }, upstream) {
   *   return facts.identity.subject === 'ada' ? { ...upstream, role: parseRole('writer') } : undefined;
   * }
   */
  onAuth?(session: LoginSession<Needs, Provides>, upstream: Upstream): MaybePromise<Upstream | void>;
  /**
   * Runs for each message that carries a statement, only if a plugin has it. Return nothing, `statement.withSql(…)`, or throw to refuse: the client reads an
   * ERROR, and the session goes on.
   *
   * @example
   * onQuery(session, statement) {
   *   if (statement.kind !== 'query' && statement.kind !== 'parse') return;
   *   if (/\btruncate\b/i.test(statement.sql)) throw new GatewayError('insufficient_privilege', 'truncate is not allowed');
   * }
   */
  onQuery?(
    session: Session<Needs | Provides, Provides>,
    statement: Statement,
  ): MaybePromise<Statement | void>;
  /**
   * Runs exactly once per session that reached `onStartup`, after its other hooks have settled. It lets go of what the plugin holds; `session.defer(release)` does
   * that from where it was taken. Errors are logged.
   *
   * @example
   * onClose({ log }, reason) {
   *   if (reason.kind === 'lost') log.info({ plugin: 'mine' }, 'the client was lost');
   * }
   */
  onClose?(session: Session, reason: CloseReason): MaybePromise<void>;
}

/** Any plugin, whatever it needs and provides. */
export type AnyPlugin = Plugin<FactName, FactName>;

/** An entry of the list: `false`, `null` and `undefined` are skipped, so `production && audit()` works. */
export type PluginEntry = AnyPlugin | false | null | undefined;
/** The `plugins` of a config. */
export type PluginList = readonly PluginEntry[];
