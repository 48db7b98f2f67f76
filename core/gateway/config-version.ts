/** One config with all objects that a reload replaces: a connection uses that of its accept to the end. */
import { AdminRoutes } from './admin-routes.ts';
import type { Check } from './admin-routes.ts';
import type { ListenerContext } from '../client/greet.ts';
import { describe } from '../client/refuse.ts';
import { TlsTermination } from '../client/tls.ts';
import { consoleListeners } from '../config/providers.ts';
import type { ResolvedConfig, ResolvedListener } from '../config/resolved.ts';
import { HookSets } from '../hooks.ts';
import { attributed } from '../hooks/attributed.ts';
import { PluginSignal } from '../hooks/plugin-signal.ts';
import { revocationChecks, warnOfOutdated } from './client-certificates.ts';
import type { GatewayContext, Shared } from './gateway-context.ts';
import type { ReloadStorage } from './reload-storage.ts';
import type { PinoLogger } from './log.ts';
import { operationRoutes } from './operation-routes.ts';
import { Operators } from './operators.ts';
import { PluginSetup } from './plugin-setup.ts';
import type { Client } from '../session.ts';

/** The options of a config version. */
export interface ConfigVersionOptions {
  readonly config: ResolvedConfig;
  readonly shared: Shared;
  readonly reloadStorage: ReloadStorage;
  readonly log: PinoLogger;
  /** The gateway's own readiness checks. */
  readonly checks: () => readonly Check[];
  /** The one in force now, whose unchanged parts are reused. Default: there is none. */
  readonly before?: ConfigVersion | undefined;
}

/** Lives until it has been replaced and its last connection has ended. */
export class ConfigVersion implements GatewayContext {
  readonly config: ResolvedConfig;
  readonly hooks: HookSets;
  readonly log: PinoLogger;
  readonly operators: Operators;
  readonly #shared: Shared;
  readonly #plugins: PluginSetup;
  readonly #routes: AdminRoutes;
  readonly #listenerContexts: ReadonlyMap<string, ListenerContext>;
  readonly #over = new PluginSignal();
  /** The config that has replaced it. */
  successor: ConfigVersion | undefined;
  #users = 0;
  #emptied: (() => void) | undefined;

  /** @throws ConfigError when a certificate cannot be used */
  constructor({ config, shared, reloadStorage, log, checks, before }: ConfigVersionOptions) {
    this.config = config;
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
      checks: () => [...checks(), ...this.#plugins.checks(), ...revocationChecks(this.#listenerContexts)],
    });
    const { overview, operations } = shared;
    const operated = {
      overview,
      operations,
      plugins: config.plugins,
      checks: () => this.#plugins.checks(),
    };
    for (const [path, handler, how] of operationRoutes(operated)) this.#routes.mount(path, handler, how);
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
    for (const listener of config.listeners)
      warnOfOutdated(listener, this.listenerContext(listener.name)?.tls, log);
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

  get overview(): Shared['overview'] {
    return this.#shared.overview;
  }

  get operations(): Shared['operations'] {
    return this.#shared.operations;
  }

  get reload(): Shared['reload'] {
    return this.#shared.reload;
  }

  get calls(): Shared['calls'] {
    return this.#shared.calls;
  }

  get draining(): boolean {
    return this.#shared.draining;
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
  setUp(): Promise<void> {
    const { admin } = this.config;
    if (admin?.console !== undefined && consoleListeners(this.config).length === 0)
      this.log.warn(
        { console: admin.console },
        'operators cannot open the console: no listener takes a token for it',
      );
    return this.#plugins.setUp(this.hooks.plugins);
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
