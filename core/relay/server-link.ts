/**
 * The server connection of one session, for all of it or for one transaction at a time: the only holder of one in a
 * session.
 */
import type { Parameters, ServerConnection } from '../upstream/connection.ts';
import type { ChannelListener } from '../net/channel.ts';
import type { LinkState, ServerFitness } from './transaction-boundary.ts';
import { ConnectionChanges } from './connection-changes.ts';
import type { NamedSettings } from './settings/setting-names.ts';
import { ResetDetection } from './settings/reset-detection.ts';
import type { ServerSource, ServerWaiter } from './server-source.ts';
import type { TouchedSettings } from './settings/touched-settings.ts';
import { mayBeUnknown, takesOffSettings } from './command-tags.ts';

/** What the link reports to the relay. */
export interface LinkHost {
  /** Another connection is linked. */
  linked(server: ServerConnection): void;
  /** The wait that {@link ServerLink.need} began is over; `error`: no connection was granted. */
  resumed(error?: unknown): void;
  /** The connection stays until the session ends. */
  pinned(why: string): void;
  /** The connection was lost during a probe. */
  serverLost(): void;
  /** Settings were set again on the connection; `before` has the parameters until then. */
  refreshed(server: ServerConnection, before: Parameters): void;
}

/** The options of a link. */
interface LinkOptions {
  readonly host: LinkHost;
  /** The connection that the login used. Absent: it needed none, and the first transaction gets one. */
  readonly first?: ServerConnection | undefined;
  /** Absent: the session keeps its first connection. */
  readonly source?: ServerSource | undefined;
  /** Without a source: whether the session may leave nothing on its connection. Default: the connection is always reset. */
  readonly watched?: boolean;
  /** See {@link RelayOptions.refresh}. */
  readonly refresh?: ((server: ServerConnection, afterReset: boolean) => Promise<void>) | undefined;
}

const IGNORE: ChannelListener = { bytes() {}, drained() {}, closed() {} };
/** One per session. */
export class ServerLink implements ServerWaiter {
  /** Changes since the check-out. */
  readonly changes: ConnectionChanges;
  /** Settings of policies or of the client's startup packet are not in force, or have other values now. */
  settingsOutdated = false;
  /** The client has reset settings since they were in force. */
  #wasReset = false;
  /** In session mode, where a RESET has to return to something. */
  readonly #resets: ResetDetection | undefined;
  readonly #options: LinkOptions;
  #server: ServerConnection | undefined;
  #state: LinkState;
  #checkOuts: number;
  #listener: ChannelListener = IGNORE;
  #asking = false;
  /** While probing: a message waits for the end of it. */
  #wanted = false;
  #pinned: string | undefined;

  constructor(options: LinkOptions) {
    this.#options = options;
    this.#server = options.first;
    [this.#state, this.#checkOuts] = options.first ? ['linked', 1] : ['unlinked', 0];
    this.changes = new ConnectionChanges(this, options.source, options.watched === true);
    this.#resets = options.source || !options.refresh ? undefined : new ResetDetection();
  }

  get state(): LinkState {
    return this.#state;
  }
  /** Absent between two transactions. */
  get server(): ServerConnection | undefined {
    return this.#server;
  }
  /** The number of check-outs, that of the login included: 0 where the session has never had a connection. */
  get checkOuts(): number {
    return this.#checkOuts;
  }
  /** A message waits for a connection. */
  get waiting(): boolean {
    return this.#state === 'waiting' || this.#wanted;
  }
  /** Why the connection stays until the session ends; undefined: it does not. */
  get pinned(): string | undefined {
    return this.#pinned;
  }

  /** Listens to the connection that is linked, and to those that will be. */
  listen(listener: ChannelListener): void {
    this.#listener = listener;
    this.#attach();
  }
  write(bytes: Buffer, from = 0, to = bytes.length): boolean {
    return this.#server?.channel.writeCopy(bytes, from, to) ?? true;
  }
  halt(): void {
    this.#server?.channel.halt();
  }
  resume(): void {
    this.#server?.channel.resume();
  }

  /** The server has reported a parameter. */
  reported({ name, value }: { readonly name: string; readonly value: string }): void {
    if (this.#server) this.changes.reports(name, this.#server.parameters);
    this.#server?.parameters.set(name, value);
    this.#options.source?.parameters.set(name, value);
  }

  /** Settings of policies have other values from here on. */
  outdateSettings(): void {
    this.#outdate(false);
  }

  #outdate(wasReset: boolean): void {
    if (!this.#options.refresh) return;
    this.settingsOutdated = true;
    this.#wasReset ||= wasReset;
  }

  /** A message with a statement goes to the server; `frame` is its beginning. */
  sends(type: number, frame: Buffer): void {
    if (this.#resets?.sends(type, frame)) this.#outdate(true);
  }

  /** A text is executed that may change these settings of the session. */
  touch(named: NamedSettings): void {
    this.changes.touch(named);
    if (named.unknown || named.reset.length + named.maybeReset.length > 0) this.#outdate(true);
  }

  /** A command has ended. */
  completed(tag: string): void {
    this.changes.completed(tag);
    const mayReset = this.#resets ? this.#resets.completed(tag) : takesOffSettings(tag) || mayBeUnknown(tag);
    if (mayReset) this.#outdate(true);
  }

  /** The connection stays until the session ends. */
  pin(why: string): void {
    if (this.#pinned !== undefined) return;
    this.#pinned = why;
    this.#options.source?.pinned?.(why);
    this.#options.host.pinned(why);
  }

  // ---- a transaction begins ----
  /** The first message of a transaction needs a connection: `wait` for {@link LinkHost.resumed}, or it is there. */
  need(): 'go' | 'wait' {
    if (this.#state === 'unlinked') this.#checkOut();
    else if (this.#state === 'probing') this.#wanted = true;
    else if (this.#state === 'linked' && this.settingsOutdated) this.#refresh();
    return this.#state === 'linked' ? 'go' : 'wait';
  }

  granted(server: ServerConnection): void {
    if (this.#state !== 'waiting') return;
    this.#link(server);
    if (!this.#asking) this.#options.host.resumed();
  }

  refused(error: unknown): void {
    if (this.#state !== 'waiting') return;
    this.#state = 'unlinked';
    const { host } = this.#options;
    if (this.#asking) queueMicrotask(() => host.resumed(error));
    else host.resumed(error);
  }

  /** Ends the wait of a message for a connection. True if there was one. */
  cancel(reason: Error): boolean {
    if (!this.waiting) return false;
    this.#stopWaiting(reason);
    this.#options.host.resumed(reason);
    return true;
  }

  #checkOut(): void {
    this.#state = 'waiting';
    // A later change of policies' settings may come too late for this connection.
    this.settingsOutdated = this.#wasReset = false;
    this.#asking = true;
    const server = this.#options.source?.checkOut(this);
    this.#asking = false;
    if (server) this.#link(server);
  }

  #link(server: ServerConnection): void {
    this.#state = 'linked';
    this.#server = server;
    this.#checkOuts += 1;
    this.#options.host.linked(server);
    this.#attach();
  }

  #refresh(): void {
    const [server, how] = [this.#server, this.#options.refresh];
    if (!server || !how) return;
    this.#state = 'applying';
    this.changes.dirty ||= !this.#options.source;
    const wasReset = this.#wasReset;
    this.settingsOutdated = this.#wasReset = false;
    const before = new Map(server.parameters);
    this.#detach();
    const over = (error?: unknown): void => {
      if (this.#state !== 'applying') return;
      this.#state = 'linked';
      if (error === undefined) this.#options.host.refreshed(server, before);
      else this.settingsOutdated = true;
      if (error !== undefined) this.#wasReset ||= wasReset;
      this.#attach();
      this.#options.host.resumed(error);
    };
    how(server, wasReset).then(() => over(), over);
  }

  // ---- a transaction is over ----
  /** Another session may get the connection: it is checked in, unless a probe finds state that ties this session to it. */
  checkIn(how: ServerFitness): void {
    const [server, source] = [this.#server, this.#options.source];
    if (!server || !source || this.#state !== 'linked') return;
    this.#detach();
    const texts = this.changes.takeSuspects();
    // Also on a connection that will be closed: its session goes on, with what it has set.
    const unseen = texts && source.unseen?.(server, texts);
    if (typeof unseen === 'string') return this.#stays(unseen);
    const touched = this.changes.take();
    this.#server = undefined;
    const settled = (): Promise<string | undefined> | undefined => this.#ask(source, server, touched);
    const asked = unseen ? unseen.then((why) => why ?? settled()) : settled();
    if (asked) return this.#probe(source, asked, server, how);
    this.#state = 'unlinked';
    source.checkIn(server, how);
  }

  #stays(why: string): void {
    this.pin(why);
    this.#attach();
  }

  /** Settings that have changed, and what ties the session to the connection; undefined where the server need not be asked. */
  #ask(
    source: ServerSource,
    server: ServerConnection,
    touched: TouchedSettings | undefined,
  ): Promise<string | undefined> | undefined {
    const settled = touched && source.settle?.(server, touched);
    if (!settled) return source.probe?.(server);
    return settled.then((why) => why ?? source.probe?.(server));
  }

  #probe(
    source: ServerSource,
    found: Promise<string | undefined>,
    server: ServerConnection,
    how: ServerFitness,
  ): void {
    this.#state = 'probing';
    found.then(
      (why) => {
        // The session is over, and cannot come back for state that it has left.
        if (this.#state !== 'probing')
          source.checkIn(server, how === 'close' || (why === undefined && how !== 'suspect') ? how : 'dirty');
        else if (why === undefined) this.#probed(() => source.checkIn(server, how));
        else this.#tied(server, why);
      },
      () => {
        source.checkIn(server, 'close');
        if (this.#state === 'probing') this.#options.host.serverLost();
      },
    );
  }

  /** No state ties the session to the connection. */
  #probed(checkIn: () => void): void {
    const wanted = this.#takeWanted();
    this.#state = 'unlinked';
    checkIn();
    if (wanted && this.need() === 'go') this.#options.host.resumed();
  }

  #tied(server: ServerConnection, why: string): void {
    const wanted = this.#takeWanted();
    this.#state = 'linked';
    this.#server = server;
    this.#stays(why);
    if (wanted) this.#options.host.resumed();
  }

  #takeWanted(): boolean {
    const wanted = this.#wanted;
    this.#wanted = false;
    return wanted;
  }

  // ---- the session is over ----
  /** Stops listening and waiting; the connection stays until {@link close}. */
  leave(): void {
    if (this.waiting) this.#stopWaiting();
    this.#detach();
    this.#state = 'closed';
  }

  /** Checks the connection in; without a source it stays with the caller that gave the first one. */
  close(how: ServerFitness): void {
    this.leave();
    const [server, source] = [this.#server, this.#options.source];
    if (!server || !source) return;
    this.#server = undefined;
    // The session cannot come back.
    const leaves = how === 'suspect' || (this.changes.hasTouched && how !== 'close');
    source.checkIn(server, leaves ? 'dirty' : how);
  }

  #stopWaiting(reason?: Error): void {
    if (this.#state === 'waiting') {
      this.#options.source?.cancel(reason);
      this.#state = 'unlinked';
    }
    this.#wanted = false;
  }

  #attach(): void {
    this.#server?.channel.listen(this.#listener);
    this.#server?.channel.resume();
  }
  #detach(): void {
    this.#server?.channel.pause();
    this.#server?.channel.listen(IGNORE);
  }
}
