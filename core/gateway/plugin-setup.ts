/** Runs the plugins' `setup`, holds what they lend one another, and undoes it all in reverse order. */
import { acceptedChannel, acceptedClient } from './accepted-stream.ts';
import type { AdminRoutes, Check } from '../admin/admin-routes.ts';
import { describe } from '../client/refuse.ts';
import { ConfigError } from '../contract/errors.ts';
import type { TokenVerifier } from '../contract/facts.ts';
import type { GatewayServices, Services } from '../contract/services.ts';
import type { Operators } from '../admin/operators.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import type { HookSets } from '../hooks.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import type { Shared } from './shared.ts';
import { readingsOf } from './readings.ts';
import { sharedWith } from './shared-with-workers.ts';
import type { ReloadStorage } from './reload-storage.ts';
import { ownService } from '../hooks/attributed.ts';
import { outsidePlugins } from '../hooks/plugin-calls.ts';
import type { PluginCall } from '../hooks/plugin-calls.ts';
import type { PluginSignal } from '../hooks/plugin-signal.ts';
import type { GatewayHandle } from '../contract/gateway-handle.ts';
import type { AnyPlugin } from '../contract/plugin.ts';
import type { MaybePromise, Session } from '../contract/session.ts';
import { overBy } from '../upstream/deadline.ts';
import { Lookups } from '../upstream/lookups.ts';

/** The parts of a config version that plugins reach. */
export interface PluginSurroundings extends Readonly<Shared> {
  readonly config: Pick<ResolvedConfig, 'database' | 'listeners' | 'fleet'>;
  readonly operators: Operators;
  readonly hooks: HookSets;
  readonly log: PinoLogger;
}

/** What plugins are set up in. */
export interface PluginSetupOptions {
  readonly context: PluginSurroundings;
  readonly reloadStorage: ReloadStorage;
  /** Nobody asks there without an admin listener. */
  readonly routes: AdminRoutes;
  /** Aborted when the plugins are about to be disposed of. */
  readonly over: PluginSignal;
  /** The folder of the config file. */
  readonly directory: string;
}

/** As `setup` of a plugin returns it. */
type Dispose = (late: AbortSignal) => MaybePromise<void>;

/** The plugins of one config between their setup and their end. */
export class PluginSetup {
  readonly #options: PluginSetupOptions;
  readonly #own: GatewayServices;
  readonly #services: Partial<Services>;
  readonly #lookups: Lookups;
  readonly #ready: { readonly name: string; readonly check: Parameters<GatewayHandle['ready']>[0] }[] = [];
  #verifier: TokenVerifier | undefined;
  readonly #asked = new Set<string>();
  readonly #disposers: { readonly plugin: string; readonly dispose: Dispose }[] = [];

  /** Leave to other instances what plugins do alone. */
  readonly #leaves: (() => void)[] = [];

  constructor(options: PluginSetupOptions) {
    this.#options = options;
    const { pools, config, operators, services } = options.context;
    this.#own = { operators, ...services, operations: ownService(services.operations) };
    this.#services = { ...this.#own };
    this.#lookups = new Lookups((name) => config.database(name), pools);
  }

  get verifier(): TokenVerifier | undefined {
    return this.#verifier;
  }

  /**
   * One after the other, in the order of the list. Where one fails, undo the others with {@link dispose}.
   * @throws ConfigError as a plugin threw it, or Error that names the plugin; Error if the gateway is stopped meanwhile;
   * the signal's reason if they are not wanted any more
   */
  async setUp(plugins: readonly AnyPlugin[]): Promise<void> {
    const { context, over } = this.#options;
    for (const plugin of plugins) {
      const dispose = await this.#setUp(plugin);
      if (dispose) this.#disposers.push({ plugin: plugin.name, dispose });
      refuseIfStopped(context);
      over.signal.throwIfAborted();
    }
  }

  /** Whether a plugin has asked for the orders of operators. */
  get takesOrders(): boolean {
    return this.#asked.has('operations');
  }

  /** What plugins say about being ready. A check that throws is not ready. */
  checks(): Check[] {
    return this.#ready.map(({ name, check }) => {
      try {
        const said = check();
        return typeof said === 'object' ? { name, problem: undefined, ...said } : { name, problem: said };
      } catch (error) {
        return { name, problem: error instanceof Error ? error.message : 'the check failed' };
      }
    });
  }

  /**
   * The last set up goes first. Never rejects. `until` is a moment by `performance.now()`: whoever has taken half of what is
   * left until then is not waited for, so that each gets something. Default: all are.
   */
  async dispose(until: () => number = () => Infinity): Promise<void> {
    for (const { plugin, dispose } of this.#disposers.splice(0).toReversed()) {
      const since = performance.now();
      const late = new AbortController();
      const call = this.#options.context.calls.of(plugin, 'disposer');
      const disposed = this.#dispose(call, () => dispose(late.signal));
      const over = await overBy(disposed, () => since + (until() - since) / 2);
      if (!over) call.run(() => late.abort());
    }
    // Only now: another instance may begin at once.
    for (const leave of this.#leaves.splice(0)) leave();
    this.#lookups.close();
  }

  async #dispose(call: PluginCall, dispose: () => MaybePromise<void>): Promise<void> {
    await this.#run(call, dispose, 'a plugin did not stop cleanly');
  }

  async #run(call: PluginCall, run: () => MaybePromise<void>, failed: string): Promise<void> {
    try {
      await call.run(run);
    } catch (error) {
      const { plugin } = call;
      this.#options.context.log.error({ plugin, error: describe(error) }, failed);
    }
  }

  async #setUp(plugin: AnyPlugin): Promise<Dispose | void> {
    try {
      return await plugin.setup?.(this.#handle(plugin.name));
    } catch (error) {
      if (error instanceof ConfigError) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`plugin '${plugin.name}' did not start: ${why}`, { cause: error });
    }
  }

  #handle(plugin: string): GatewayHandle {
    const { context, reloadStorage, routes, over, directory } = this.#options;
    const call = (hook: string): PluginCall => context.calls.of(plugin, hook);
    return {
      sessions: { [Symbol.iterator]: () => openSessions(context) },
      log: context.log.child({ plugin }),
      get signal() {
        return over.signal;
      },
      directory,
      keep: (key, create) => reloadStorage.keep(plugin, key, create),
      ...sharedWith(context, plugin, (what, changed) => this.#guarded(call(`watch ${what}`), changed)),
      alone: (task, run, { of = 'gateway' } = {}) =>
        this.#alone(call(`alone ${task}`), run, of === 'fleet' ? `${plugin}/${task}` : undefined),
      provide: (name, service) => this.#provide(name, service, call),
      service: (name) => {
        this.#asked.add(name);
        return this.#services[name] as Services[typeof name];
      },
      route(path, handler, how) {
        const asked = call(`route ${path}`);
        routes.mount(path, (request, caller) => asked.run(handler, request, caller), how);
      },
      routes: () => routes.routes,
      readings: () => readingsOf(context),
      ready: (check) => this.#ready.push({ name: plugin, check: () => call('ready').run(check) }),
      // A connection that outlives the call is the gateway's own.
      accept(stream, client) {
        const own = call('accepted stream');
        const from = acceptedClient(client, context.config.listeners);
        outsidePlugins(() =>
          context.accept(
            acceptedChannel(stream, (work) => own.run(work)),
            from,
          ),
        );
      },
      lookUp: (lookup) => outsidePlugins(() => this.#lookups.ask(lookup)),
      emit: (event, detail) => context.hooks.tell(event, detail),
    };
  }

  /** It never throws, and the log says what it threw. */
  #guarded<A extends readonly unknown[]>(
    call: PluginCall,
    changed: (...args: A) => void,
  ): (...args: A) => void {
    return (...args) =>
      void this.#run(call, () => changed(...args), 'a plugin has failed to hear of a change');
  }

  /** Where the lead changes, the plugins may be over by then. `ofFleet`: the name of the task among all instances. */
  #alone(call: PluginCall, run: () => MaybePromise<void>, ofFleet: string | undefined): void {
    const { context, over } = this.#options;
    if (over.aborted) return;
    const { coordination } = context;
    const begin = (): void => {
      if (!over.aborted) void this.#run(call, run, 'what a plugin does alone has failed');
    };
    if (ofFleet === undefined) coordination.whenLead(begin);
    else this.#leaves.push(coordination.whenAlone(ofFleet, begin));
  }

  #provide<S extends keyof Services>(
    name: S,
    service: Services[S],
    call: (hook: string) => PluginCall,
  ): void {
    if (Object.hasOwn(this.#own, name)) throw new ConfigError(`the service '${name}' is the gateway's own`);
    if (this.#services[name]) throw new ConfigError(`two plugins provide the service '${name}'`);
    this.#services[name] = service;
    const { verifier } = this.#services;
    if (name === 'verifier' && verifier)
      this.#verifier = { verify: (token) => call(name).run(() => verifier.verify(token)) };
  }
}

/** Ends a start or a reload that somebody has called off. @throws Error */
export function refuseIfStopped({ draining }: Pick<Shared, 'draining'>): void {
  if (draining) throw new Error('the gateway is stopped or draining');
}

function* openSessions({ sessions }: Pick<Shared, 'sessions'>): Generator<Session> {
  for (const session of sessions) if (!session.reason) yield session;
}
