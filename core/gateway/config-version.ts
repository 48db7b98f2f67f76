/** One config with all objects that a reload replaces: a connection uses that of its accept to the end. */
import { AdminRoutes } from '../admin/admin-routes.ts';
import type { Check } from '../admin/admin-routes.ts';
import type { ListenerContext } from '../client/greet.ts';
import { describe } from '../client/refuse.ts';
import { TlsTermination } from '../client/tls.ts';
import { isLocal } from '../config/defaults.ts';
import { answeredDatabases } from '../config/answered-databases.ts';
import { knownPlugins } from '../config/known-plugins.ts';
import type { ResolvedConfig, ResolvedListener } from '../config/resolved.ts';
import { HookSets } from '../hooks.ts';
import { attributed } from '../hooks/attributed.ts';
import { PluginSignal } from '../hooks/plugin-signal.ts';
import { outdatedLists, revocationChecks } from './client-certificates.ts';
import { warnOfConfig } from './config-warnings.ts';
import type { GatewayContext } from '../connection/gateway-context.ts';
import type { Shared } from './shared.ts';
import type { ReloadStorage } from './reload-storage.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import { pluginReading } from './plugin-reading.ts';
import { Operators } from '../admin/operators.ts';
import { PluginSetup } from './plugin-setup.ts';
import type { PluginReading } from '../contract/overview.ts';
import type { Client, MaybePromise } from '../contract/session.ts';
import { TlsContexts } from '../x509/tls-contexts.ts';

/** The options of a config version. */
export interface ConfigVersionOptions {
  readonly config: ResolvedConfig;
  readonly shared: Shared;
  readonly reloadStorage: ReloadStorage;
  readonly log: PinoLogger;
  /** The gateway's own readiness checks. */
  readonly checks: () => readonly Check[];
  /** Makes the readiness of all workers of the checks of this one. Default: there is no other. */
  readonly readiness?: ((own: readonly Check[]) => MaybePromise<readonly Check[]>) | undefined;
  /** The one in force now, whose unchanged parts are reused. Default: there is none. */
  readonly before?: ConfigVersion | undefined;
}

/** Lives until it has been replaced and its last connection has ended. */
export class ConfigVersion implements GatewayContext, Readonly<Shared> {
  readonly config: ResolvedConfig;
  readonly hooks: HookSets;
  readonly log: PinoLogger;
  readonly operators: Operators;
  /** Undefined: `admin` has no TLS. */
  readonly adminTls: TlsContexts | undefined;
  readonly #shared: Shared;
  readonly #checks: () => readonly Check[];
  readonly #plugins: PluginSetup;
  readonly #routes: AdminRoutes;
  readonly #listenerContexts: ReadonlyMap<string, ListenerContext>;
  readonly #over = new PluginSignal();
  /** The config that has replaced it. */
  successor: ConfigVersion | undefined;
  #users = 0;
  #emptied: (() => void) | undefined;

  /** @throws ConfigError when a certificate cannot be used */
  constructor(options: ConfigVersionOptions) {
    const { config, shared, reloadStorage, log, checks, readiness = (own) => own, before } = options;
    this.config = config;
    this.#checks = checks;
    this.#shared = shared;
    this.log = log;
    const plugins = config.plugins.map((plugin) => attributed(plugin, shared.calls));
    this.hooks = new HookSets(plugins, (plugin, event, error) => {
      log.error({ plugin, event, error: describe(error) }, 'an observer failed');
    });
    this.operators = new Operators({
      rule: config.admin?.operators,
      verifier: () => this.#plugins.verifier,
    });
    this.#routes = new AdminRoutes({
      operators: this.operators,
      log,
      checks: () => readiness(this.checks()),
    });
    this.#plugins = new PluginSetup({
      context: this,
      reloadStorage,
      routes: this.#routes,
      over: this.#over,
      directory: config.directory,
    });
    this.#listenerContexts = new Map(
      config.listeners.map((listener) => [
        listener.name,
        listenerContextOf(listener, before?.listenerContext(listener.name)),
      ]),
    );
    const { tls } = config.admin ?? {};
    this.adminTls = tls && (before?.adminTls?.serves(tls) ? before.adminTls : new TlsContexts(tls));
    for (const listener of config.listeners)
      for (const fields of outdatedLists(listener, this.listenerContext(listener.name)?.tls))
        warnOfConfig(this, fields, 'a revocation list is out of date');
  }

  get coordination(): Shared['coordination'] {
    return this.#shared.coordination;
  }

  get pools(): Shared['pools'] {
    return this.#shared.pools;
  }

  get cancelKeys(): Shared['cancelKeys'] {
    return this.#shared.cancelKeys;
  }

  get sessions(): Shared['sessions'] {
    return this.#shared.sessions;
  }

  get unauthenticatedLog(): Shared['unauthenticatedLog'] {
    return this.#shared.unauthenticatedLog;
  }

  get statistics(): Shared['statistics'] {
    return this.#shared.statistics;
  }

  get suspension(): Shared['suspension'] {
    return this.#shared.suspension;
  }

  get operatorState(): Shared['operatorState'] {
    return this.#shared.operatorState;
  }

  get overview(): Shared['overview'] {
    return this.#shared.overview;
  }

  get services(): Shared['services'] {
    return this.#shared.services;
  }

  get reload(): Shared['reload'] {
    return this.#shared.reload;
  }

  get accept(): Shared['accept'] {
    return this.#shared.accept;
  }

  get calls(): Shared['calls'] {
    return this.#shared.calls;
  }

  get leaving(): boolean {
    return this.#shared.leaving;
  }

  get retiring(): boolean {
    return this.#shared.retiring;
  }

  get draining(): boolean {
    return this.#shared.draining;
  }

  /** The readiness checks of this process: the gateway's, those of plugins, and of certificates. */
  checks(): readonly Check[] {
    return [...this.#checks(), ...this.#plugins.checks(), ...revocationChecks(this.#listenerContexts)];
  }

  /** What operators see of its plugins. */
  pluginReadings(): readonly PluginReading[] {
    const checks = this.#plugins.checks();
    return this.config.plugins.map((plugin) => pluginReading(plugin, checks));
  }

  /** Undefined if the config has no listener of this name. */
  listenerContext(listener: string): ListenerContext | undefined {
    return this.#listenerContexts.get(listener);
  }

  revokes(client: Client): boolean {
    // A client of an earlier config may have shown its certificate before a later one revoked it.
    if (this.successor) return this.successor.revokes(client);
    const certificate = client.tls?.certificate;
    return (
      certificate !== undefined && this.listenerContext(client.listener)?.tls?.revokes(certificate) === true
    );
  }

  /** Sets the plugins up. Where that fails, undo it with {@link end}. @throws as PluginSetup does */
  async setUp(): Promise<void> {
    for (const { plugin, name, on } of answeredDatabases(this.config)) {
      if (on.length > 0) continue;
      const fields = { plugin: plugin.name, database: name };
      warnOfConfig(
        this,
        fields,
        'no client can open the database of a plugin: no listener takes a credential for it',
      );
    }
    const { admin } = this.config;
    if (admin && admin.tls === undefined && admin.mode === undefined && !isLocal(admin.host))
      warnOfConfig(
        this,
        { host: admin.host },
        'admin is plain HTTP: give it admin.tls, since tokens travel there',
      );
    await this.#plugins.setUp(this.hooks.plugins);
    if (admin?.operators && !this.#plugins.takesOrders) await this.#warnOfIdle();
  }

  /** Operators would find nothing but the routes of other plugins. */
  async #warnOfIdle(): Promise<void> {
    const list = (await knownPlugins()).flatMap(({ takesOrders, call }) => (takesOrders ? [call] : []));
    warnOfConfig(this, { list }, 'admin.operators: no plugin of the config takes the orders of operators');
  }

  /** A connection or request begins to use it, until it leaves. */
  enter(): void {
    this.#users += 1;
  }

  leave(): void {
    this.#users -= 1;
    if (this.#users === 0) this.#emptied?.();
  }

  /** Answers a request of an operator. */
  async answer(request: Request): Promise<Response> {
    this.enter();
    try {
      return await this.#routes.answer(request);
    } finally {
      this.leave();
    }
  }

  /** Call it when no new connection gets this one: resolves when the last one has ended. */
  emptied(): Promise<void> {
    return new Promise((resolve) => {
      this.#emptied = resolve;
      if (this.#users === 0) resolve();
    });
  }

  /** Aborts the plugins' signal with `why` and disposes of them, see PluginSetup. Can be called again. Never rejects. */
  async end(why: Error, until?: () => number): Promise<void> {
    this.#over.abort(why);
    await this.#plugins.dispose(until);
  }
}

/** TLS that is in use is kept where its options and files are unchanged. */
function listenerContextOf(
  { name, mode, plaintext, proxies, tls }: ResolvedListener,
  before: ListenerContext | undefined,
): ListenerContext {
  if (!tls) return { name, plaintext, proxies, unix: mode !== undefined };
  return { name, plaintext, proxies, tls: before?.tls?.serves(tls) ? before.tls : new TlsTermination(tls) };
}
