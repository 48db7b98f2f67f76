/** Where server connections sit while they work for a session: one for all of it, or one per transaction. */
import type { ChannelListener } from '../net/channel.ts';
import type { ServerConnection } from '../upstream/connection.ts';

/** What becomes of a server connection: `clean` ones need no reset for the same identity. */
export type Afterwards = 'clean' | 'reusable' | 'close';

/** Lends server connections for transactions. */
export interface Lender {
  /** The run-time parameters that the client believes to be in force, kept up to date by the relay. */
  readonly parameters: Map<string, string>;
  /** A connection on which the session's run-time parameters are in force. Rejects with what the client shall read. */
  acquire(signal: AbortSignal): Promise<ServerConnection>;
  /** The connection that the session gave back last, if it is as the session needs it now. Default: none ever is. */
  readonly retake?: (() => ServerConnection | undefined) | undefined;
  /** Statements that some connection has prepared without an error: for a Parse of one of them no connection is needed. */
  readonly known: { has(key: string): boolean; add(key: string): unknown };
  /** Told once when the connection has to stay with the session. */
  readonly pinned?: ((why: string) => void) | undefined;
  /**
   * What ties the session to an idle connection, for the log; undefined if nothing does. Rejects if the connection is lost.
   * Absent: nobody looks.
   */
  readonly look?: ((server: ServerConnection) => Promise<string | undefined>) | undefined;
  release(server: ServerConnection, afterwards: Afterwards): void;
}

const DEAF: ChannelListener = { bytes() {}, drained() {}, closed() {} };

/** One per session. */
export class Seat {
  readonly #lender: Lender | undefined;
  #server: ServerConnection | undefined;
  #listener: ChannelListener = DEAF;
  #waiting: AbortController | undefined;
  #turn = 0;
  #looking: { readonly done: Promise<void>; over: boolean } | undefined;
  #refreshing: { over: boolean } | undefined;
  /** What policies rely on is not in force on the connection any more, or not what they want now. */
  stale = false;

  /** With a lender, connections are given back between transactions; `first` is the one that the login used. */
  constructor(first: ServerConnection, lender?: Lender) {
    this.#server = first;
    this.#lender = lender;
  }

  /** Absent between two transactions. */
  get server(): ServerConnection | undefined {
    return this.#server;
  }
  /** Connections change between transactions. */
  get changes(): boolean {
    return this.#lender !== undefined;
  }
  get waiting(): boolean {
    return this.#waiting !== undefined;
  }
  /** The gateway talks to the connection that sits here. */
  get refreshing(): boolean {
    return this.#refreshing !== undefined;
  }
  /** Bytes for the server that it has not taken yet. */
  get queued(): number {
    return this.#server?.channel.queued ?? 0;
  }

  /** The server has said what is in force now. */
  reported({ name, value }: { readonly name: string; readonly value: string }): void {
    this.#server?.parameters.set(name, value);
    this.#lender?.parameters.set(name, value);
  }

  /** Counts the connections that have sat down, the same one each time it does. */
  get turn(): number {
    return this.#turn;
  }

  /** Listens to the connection that sits here, and to those that come. */
  listen(listener: ChannelListener): void {
    this.#listener = listener;
    this.#attach();
  }

  write(bytes: Buffer): boolean {
    return this.#server?.channel.write(bytes) ?? true;
  }
  pause(): void {
    this.#server?.channel.halt();
  }
  resume(): void {
    this.#server?.channel.resume();
  }

  /** Has a connection sit down. @throws what the lender throws, or the reason of {@link giveUp} */
  async take(): Promise<void> {
    if (!this.#lender || this.#server) return;
    const waiting = new AbortController();
    this.#waiting = waiting;
    try {
      await this.#looking?.done;
      waiting.signal.throwIfAborted();
      if (this.server) return;
      const server = await this.#lender.acquire(waiting.signal);
      if (waiting.signal.aborted) {
        this.#lender.release(server, 'reusable');
        throw waiting.signal.reason;
      }
      this.#sit(server);
    } finally {
      this.#waiting = undefined;
    }
  }

  /** Has the last connection sit down again, without any wait; false if it cannot. */
  retake(): boolean {
    const server = this.#looking ? undefined : this.#lender?.retake?.();
    if (server) this.#sit(server);
    return server !== undefined;
  }

  /** Brings the connection that sits here up to date; nobody hears it meanwhile. @throws what `how` throws: it is stale still */
  async refresh(how: (server: ServerConnection) => Promise<void>): Promise<void> {
    const server = this.#server;
    if (!server) return;
    const refreshing = { over: false };
    this.#refreshing = refreshing;
    this.leave();
    try {
      await how(server);
      this.stale = false;
    } finally {
      this.#refreshing = undefined;
      if (!refreshing.over) this.#attach();
    }
  }

  /** Ends a wait for a connection. True if there was one. */
  giveUp(reason: Error): boolean {
    this.#waiting?.abort(reason);
    return this.waiting;
  }

  /** Nobody listens any more; the connection stays for whoever gives it back. */
  leave(): void {
    this.#server?.channel.pause();
    this.#server?.channel.listen(DEAF);
  }

  /** As {@link giveBack}, where nothing ties the session to it; else it stays, and `stays` is told why. */
  letGo(afterwards: Afterwards, stays: (why: string) => void): void {
    const server = this.#server;
    const { look } = this.#lender ?? {};
    if (!server || !look || afterwards === 'close') return this.giveBack(afterwards);
    this.leave();
    this.#server = undefined;
    const found = look(server).then(
      (why) => this.#found(server, why, afterwards, stays),
      () => this.#lost(server),
    );
    this.#looking = { done: found, over: false };
  }

  #found(
    server: ServerConnection,
    why: string | undefined,
    afterwards: Afterwards,
    stays: (why: string) => void,
  ): void {
    const over = this.#looking?.over === true;
    this.#looking = undefined;
    if (why === undefined || over)
      return this.#lender?.release(server, why === undefined ? afterwards : 'reusable');
    this.#server = server;
    stays(why);
    this.#attach();
  }

  #lost(server: ServerConnection): void {
    const over = this.#looking?.over === true;
    this.#looking = undefined;
    this.#lender?.release(server, 'close');
    if (!over) this.#listener.closed(undefined);
  }

  /** Between two transactions: the connection may serve others. */
  giveBack(afterwards: Afterwards): void {
    if (this.#looking) this.#looking.over = true;
    if (this.#refreshing) this.#refreshing.over = true;
    const server = this.#server;
    if (!server || !this.#lender) return;
    this.leave();
    this.#server = undefined;
    this.#lender.release(server, afterwards);
  }

  #sit(server: ServerConnection): void {
    this.#server = server;
    this.stale = false;
    this.#turn += 1;
    this.#attach();
  }

  #attach(): void {
    this.#server?.channel.listen(this.#listener);
    this.#server?.channel.resume();
  }
}
