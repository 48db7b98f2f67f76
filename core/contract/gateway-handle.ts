/** The gateway as plugins see it. */
import type { Board, BoardOptions } from './board.ts';
import type { DuplexStream } from './duplex-stream.ts';
import type { EventName, Events } from './events.ts';
import type { Fleet } from './fleet.ts';
import type { Identity } from './facts.ts';
import type { Lookup, LookupRow } from './lookup.ts';
import type { Places } from './places.ts';
import type { Post } from './post.ts';
import type { Readings } from './readings.ts';
import type { RouteOptions } from './route.ts';
import type { GatewayServiceName, ServiceName, Services } from './services.ts';
import type { Client, Logger, MaybePromise, Session } from './session.ts';
import type { WebRequest, WebResponse, WebSignal } from './web-types.ts';

/** Among which workers one does what only one may do. */
export interface AloneOptions {
  /** Those of this gateway, or those of all instances of its fleet. Default `'gateway'`. Without `fleet` in the config both are the same. */
  readonly of?: 'gateway' | 'fleet';
}

/** The gateway as a plugin's `setup` sees it. */
export interface GatewayHandle {
  /**
   * The sessions that are open now, those under an earlier config as well.
   *
   * @example for (const session of gateway.sessions) session.notice('The database moves at six.');
   */
  readonly sessions: Iterable<Session>;
  /**
   * Writes JSON lines into the gateway's log.
   *
   * @example gateway.log.info({ plugin: 'mine' }, 'ready');
   */
  readonly log: Logger;
  /**
   * Aborted right before the disposers run.
   *
   * @example gateway.signal.addEventListener('abort', () => watcher.close());
   */
  readonly signal: WebSignal;
  /**
   * The folder of the config file, which relative paths start from.
   *
   * @example const path = resolve(gateway.directory, 'rules.json');
   */
  readonly directory: string;
  /**
   * Makes a value once and returns the same one after a reload: key sets, counters. It is kept by the plugin's name and the key until no config in use has a
   * plugin of this name.
   *
   * @example const counts = gateway.keep('counts', () => new Map<string, number>());
   */
  keep<T>(key: string, create: () => T): T;
  /**
   * The number of this process among the workers of the gateway, from 1, and how many there are to be. `setup` runs in each of them, and each has sessions of its own.
   *
   * @example const file = gateway.worker.of === 1 ? 'calls.log' : `calls.w${gateway.worker.number}.log`;
   */
  readonly worker: { readonly number: number; readonly of: number };
  /**
   * Values by id that all workers have: a list of the blocked, a key. Resolves once this worker has them. A board belongs to the plugin's name, and outlives a reload; all are empty
   * when the gateway starts. With `of: 'fleet'` all instances of the fleet have them, and what is on such a board when the gateway starts stays there.
   *
   * @throws Error where the gateway stops meanwhile
   * @example
   * const blocked = await gateway.board<string>('blocked');
   * await blocked.put('ada', 'left the company', { until: Date.now() + 3_600_000 });
   */
  board<V>(name: string, options?: BoardOptions): Promise<Board<V>>;
  /**
   * Counts over all workers, and over all instances of the fleet: what a worker has taken is free again when it dies.
   *
   * @example
   * const full = await gateway.places.take([{ key: 'import', limit: 2 }]);
   * if (full === undefined) session.defer(() => gateway.places.give(['import']));
   */
  readonly places: Places;
  /**
   * Asks other workers, and answers them.
   *
   * @example
   * gateway.post.answer('count', () => [...gateway.sessions].length);
   * const counts = await gateway.post.ask('all', 'count');
   */
  readonly post: Post;
  /**
   * The other instances. Undefined without `fleet` in the config. A plugin that keeps something in the store by itself asks for its address by `fleet.store()`, and makes keys by
   * `fleet.hash(text)`, of which whoever reads the store learns nothing.
   *
   * @example const names = gateway.fleet?.instances.map(({ name }) => name) ?? [];
   */
  readonly fleet: Fleet | undefined;
  /**
   * Does what only one worker may do, such as writing a file or asking a third party: runs it in the lead, at once or when this worker becomes the lead, unless {@link signal} is aborted by
   * then. With `of: 'fleet'` one lead of all instances runs it, and another one after that has stopped, has died, or has reloaded to a config whose plugin does not do this task: `task`
   * says which tasks are the same. An instance that has lost the store for 10 s may still be at it when another one begins, and one that starts without the store waits for it.
   *
   * @example gateway.alone('tell', () => gateway.log.info({ worker: gateway.worker.number }, 'this worker is the lead'));
   */
  alone(task: string, run: () => MaybePromise<void>, options?: AloneOptions): void;
  /**
   * Lends a [service](#services) to the plugins further down the list.
   *
   * @throws ConfigError if there is one of this name
   * @example gateway.provide('verifier', { verify: async () => ada });
   */
  provide<S extends Exclude<ServiceName, GatewayServiceName>>(name: S, service: Services[S]): void;
  /**
   * Gives a [service](#services) of the gateway, or one that a plugin above has lent; undefined where none has.
   *
   * @example const operators = gateway.service('operators');
   */
  service<S extends ServiceName>(name: S): Services[S] | (S extends GatewayServiceName ? never : undefined);
  /**
   * Mounts a handler (Fetch API) on `admin`. `caller` is the operator who asks, absent on public routes. `openapi` says which methods it answers and how: the route then
   * stands in `/openapi.json`, and other methods are refused. Without `admin` in the config nothing happens.
   *
   * @example gateway.route('/v1/hello', () => Response.json({ hello: 'world' }), { public: true });
   */
  route(
    path: string,
    handler: (request: WebRequest, caller?: Identity) => MaybePromise<WebResponse>,
    how?: RouteOptions,
  ): void;
  /**
   * How each path on `admin` is mounted, the gateway's own first; those of all plugins once every `setup` has run.
   *
   * @example const documented = [...gateway.routes()].filter(([, { openapi }]) => openapi);
   */
  routes(): ReadonlyMap<string, RouteOptions>;
  /**
   * What this worker of the gateway has and has done, in plain numbers; the same for all configs. The service `overview` reads those of all workers.
   *
   * @example const { draining, totals } = gateway.readings();
   */
  readings(): Readings;
  /**
   * Asks a database one question, on a connection that is used for nothing else. Those about one database as one role are asked one
   * after the other, within 5 s, and their answers have at most 1 MiB.
   *
   * @throws GatewayError `invalid_catalog_name` for a database there is not, others where it cannot be asked or its answer is an error
   * @example
   * const [row] = await gateway.lookUp({
   *   database: 'orders',
   *   role: parseRole('lookup'),
   *   sql: 'select plan from tenants where name = $1',
   *   values: ['acme'],
   * });
   */
  lookUp(lookup: Lookup): Promise<readonly LookupRow[]>;
  /**
   * Serves a PostgreSQL client at the other end of a stream, as one that has connected to `client.listener`: the listener's rules, the plugins of its scope, cancels
   * and drains apply to it. From then on the stream belongs to the gateway, which closes it: at once while the listener is closed, before the start and after the stop.
   *
   * `stream` is a `Duplex` of `node:stream`, without object mode and encoding, of which nothing has been read. `client` is the client as plugins see it: its `address` is
   * an IP address, or `unix` for a client on this machine. With `tls` the way here is encrypted, and a certificate in it verified; without, `listen.plaintext` decides by
   * the address. No PROXY header is read.
   *
   * @throws TypeError for another stream, address or port; Error for a listener that the config does not have, and for a stream that has been accepted before
   * @example gateway.accept(stream, { address: '198.51.100.7', port: 4711, listener: 'default', tls: {} });
   */
  accept(stream: DuplexStream, client: Client): void;
  /**
   * Adds a readiness check. A sentence means that the gateway is not ready, and why. An object with a `note` is for `/readyz?verbose`, and the gateway is ready.
   *
   * @example gateway.ready(() => (loaded ? undefined : 'mine: the rules are not loaded'));
   */
  ready(check: () => string | { readonly note: string } | undefined): void;
  /**
   * Tells an event to all observers in this config, whatever their scope.
   *
   * @example gateway.emit('access', { by: ada, granted: true, database: 'orders' });
   */
  emit<E extends EventName>(event: E, detail: Events[E]): void;
}
