/** The end of a session, and the fate of its server connection: every way out of a relay, each taken at most once. */
import { GatewayError } from '../contract/errors.ts';
import type { Channel } from '../net/channel.ts';
import type { CloseReason, Logger } from '../contract/session.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { parameterStatus, refusal } from '../wire/to-client.ts';
import type { FromClient } from './from-client.ts';
import type { FromServer } from './from-server.ts';
import type { OutstandingRequests } from './requests/outstanding-requests.ts';
import type { ServerLink } from './server-link.ts';
import { boundary } from './transaction-boundary.ts';
import type { BoundaryState, ServerFitness } from './transaction-boundary.ts';

/** How it ended, and whether the server connection can serve another session. */
export interface RelayEnd {
  readonly reason: CloseReason;
  readonly server: ServerFitness;
}

/** The objects that an end reads and stops. */
export interface SessionEndParts extends BoundaryState {
  readonly client: Channel;
  readonly link: ServerLink;
  readonly log: Logger;
  readonly outstanding: OutstandingRequests;
  readonly fromClient: FromClient;
  readonly fromServer: FromServer;
  /** Called once, when the session is over and no cancel can hit its server connection any more. */
  ended(end: RelayEnd): void;
}

/** How long statements in front of a Terminate may run, in milliseconds. */
const TERMINATE_MS = 60_000;
/** How long the gateway's FATAL waits for the end of a message that is being sent to the client, in milliseconds. */
const BOUNDARY_MS = 5_000;

/**
 * How often a client that has half-closed its connection is written to, in milliseconds: only so a client that is gone can be told from one that reads,
 * and its statement cancelled.
 */
const PROBE_MS = 250;
/** Clients take a ParameterStatus at any time, and of any name. */
const PROBE = parameterStatus('postern.half_closed', 'on');

/** A FATAL of the gateway that cannot be sent yet. */
interface PendingFatal {
  readonly error: GatewayError;
  /** At the next message boundary, when all outstanding answers have passed, or when the session is idle. */
  readonly when: 'boundary' | 'answered' | 'idle';
  readonly kind: 'ended' | 'drained';
}

/** One per relay. */
export class SessionEnd {
  readonly #parts: SessionEndParts;
  #pendingFatal: PendingFatal | undefined;
  /** The client sent Terminate: outstanding requests are completed, and their answers dropped. */
  #terminating = false;
  /** The client closed its connection, and its Terminate stands behind messages that are still held. */
  #clientGone = false;
  /** Set once the end is decided; only a cancel may still be awaited. */
  #reason: CloseReason | undefined;
  #over = false;
  #timer: NodeJS.Timeout | undefined;
  /** Runs while the client has half-closed its connection, and waits for answers. */
  #probes: NodeJS.Timeout | undefined;
  #cancelling: Promise<boolean> | undefined;
  #lateCancelServer: ServerConnection | undefined;

  constructor(parts: SessionEndParts) {
    this.#parts = parts;
  }

  get decided(): boolean {
    return this.#reason !== undefined;
  }

  get cancelling(): boolean {
    return this.#cancelling !== undefined;
  }

  /** Checks again whether a pending end can happen now: after every step of the relay. */
  settled(): void {
    if (this.decided || this.#parts.fromServer.processing) return;
    if (this.#pendingFatal) this.#tryEnd(this.#pendingFatal);
    if (this.#terminating) this.#tryTerminate();
    else if (this.#probes && this.#nothingToAnswer()) this.#endOrCancel({ kind: 'lost' });
    else if (this.#clientGone) this.clientLost();
  }

  /** Sends FATAL `error` at the time that `when` says, and ends; `now`: at once, without the FATAL where a message is half sent. */
  endWith(error: GatewayError, when: PendingFatal['when'] | 'now', kind: PendingFatal['kind']): void {
    if (when === 'now') return this.#endNow(error, kind);
    if (this.decided || this.#pendingFatal?.when === 'boundary' || (this.#pendingFatal && when === 'idle'))
      return;
    this.#pendingFatal = { error, when, kind };
    if (when === 'boundary') {
      this.#deadline(BOUNDARY_MS, () => {
        this.#endNow(error, kind);
      });
    } else if (when === 'answered') {
      this.#deadline(TERMINATE_MS, () => {
        this.#endNow(error, kind);
      });
    }
    this.settled();
  }

  /** The client sent Terminate. */
  terminated(): void {
    if (this.decided) return;
    this.#terminating = true;
    if (this.#pendingFatal?.when !== 'boundary') {
      this.#deadline(TERMINATE_MS, () => {
        this.#cancelThenEnd({ kind: 'client' });
      });
    }
    this.settled();
  }

  /** The client's connection is closed. The gateway completes nothing on its behalf: no Sync, no CopyDone. */
  clientLost(): void {
    const { fromClient, link } = this.#parts;
    if (this.decided) return;
    // The server may have been paused until the client reads.
    if (this.#terminating) return link.resume();
    // Its last messages are still held by a hook. A wait for a connection is given up.
    this.#clientGone = fromClient.terminating && !link.waiting;
    if (this.#clientGone) return;
    fromClient.stop();
    this.#endOrCancel({ kind: 'lost' });
  }

  /** The client sends nothing more, and may read. True: it stays until its requests are answered, as on PostgreSQL. */
  clientHalfClosed(): boolean {
    if (this.decided || this.#terminating || this.#parts.fromClient.terminating) return false;
    if (this.#nothingToAnswer()) return false;
    this.#probes ??= setInterval(() => this.#probe(), PROBE_MS).unref();
    return true;
  }

  /** The server connection is closed; its FATAL, if it sent one, has passed. */
  serverLost(): void {
    if (this.#over) return;
    const { client, outstanding, fromServer } = this.#parts;
    if (!this.decided) {
      const silent = this.#terminating || outstanding.fatal || !fromServer.atBoundary;
      const lost = new GatewayError('connection_failure', 'the server closed the connection unexpectedly', {
        hint: 'Whether the statement under way took effect is not known.',
      });
      client.finish(silent ? undefined : refusal('FATAL', lost));
    }
    this.#end(this.#reason ?? { kind: this.#terminating ? 'client' : 'upstream' }, 'close');
  }

  /** The server sent a message that answers nothing or cannot be read. */
  serverBroke(why: string): void {
    const { client, link, log, fromServer } = this.#parts;
    log.error(
      { server_pid: link.server?.pid, why },
      'the server broke the protocol; its connection is closed',
    );
    const error = new GatewayError('protocol_violation', 'the server broke the protocol');
    client.finish(fromServer.atBoundary ? refusal('FATAL', error) : undefined);
    this.#end({ kind: 'ended', error }, 'close');
  }

  /** Sends a CancelRequest for the running statement; resolves with false if it may still hit the connection later. */
  cancel(): Promise<boolean> {
    const { server } = this.#parts.link;
    if (!server) return Promise.resolve(true);
    this.#cancelling ??= server.cancel().then((over) => {
      this.#cancelling = undefined;
      if (!over) this.#lateCancelServer = server;
      return over;
    });
    return this.#cancelling;
  }

  /** A cancel was not over in time and may still hit this connection: no other session may get it. */
  get lateCancelPossible(): boolean {
    return this.#lateCancelServer !== undefined && this.#lateCancelServer === this.#parts.link.server;
  }

  // ---- when ----

  /** A batch without its Sync and a COPY without its end get no answer either: closing the connection undoes them. */
  #nothingToAnswer(): boolean {
    const { client, fromClient, link, outstanding } = this.#parts;
    if (fromClient.waiting || link.waiting || client.queued > 0) return false;
    // The end of its last message will never come.
    if (fromClient.position === 'midMessage' && (outstanding.newestOnly || outstanding.recovery)) return true;
    return outstanding.answered || !outstanding.endsReady;
  }

  #probe(): void {
    const { client, fromServer } = this.#parts;
    // First, because bytes that are queued keep the session.
    this.settled();
    if (this.decided) return;
    client.watchQueued();
    if (fromServer.atBoundary && client.queued === 0) client.write(PROBE);
  }

  #tryTerminate(): void {
    const { outstanding } = this.#parts;
    // A batch without its Sync, a COPY without its end, a transaction without its COMMIT: closing the connection undoes it.
    if (outstanding.answered || !outstanding.endsReady) this.#end({ kind: 'client' }, this.#serverAfter());
  }

  #tryEnd({ error, when, kind }: PendingFatal): void {
    const { outstanding, fromServer } = this.#parts;
    if (!fromServer.atBoundary) return;
    if (when === 'answered' && !outstanding.answered && !outstanding.stuck) return;
    if (when === 'idle' && !boundary(this.#parts, 'drain').free) return;
    this.#endNow(error, kind);
  }

  // ---- the closing steps ----

  #endNow(error: GatewayError, kind: 'ended' | 'drained'): void {
    if (this.decided) return;
    const { client, fromServer } = this.#parts;
    if (fromServer.atBoundary) client.finish(refusal('FATAL', error));
    else client.destroy();
    this.#endOrCancel({ kind, error });
  }

  #endOrCancel(reason: CloseReason): void {
    if (boundary(this.#parts, 'cancel').free) this.#end(reason, this.#serverAfter());
    else this.#cancelThenEnd(reason);
  }

  #serverAfter(): ServerFitness {
    const at = boundary(this.#parts, 'end');
    return at.free ? at.server : 'close';
  }

  #cancelThenEnd(reason: CloseReason): void {
    this.#reason = reason;
    this.#stop();
    // The client reads no more, and unread answers must not keep the server from finishing.
    this.#parts.link.resume();
    void this.cancel().then(() => {
      this.#end(reason, 'close');
    });
  }

  #stop(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#probes);
    this.#parts.fromClient.stop();
    this.#parts.fromServer.stop();
  }

  #end(reason: CloseReason, server: ServerFitness): void {
    if (this.#over) return;
    this.#over = true;
    this.#reason = reason;
    this.#stop();
    const { client, link, fromClient } = this.#parts;
    if (!client.closed) {
      if (reason.kind === 'client') client.close();
      else client.finish();
    }
    // A Terminate would be read as the rest of the message, and the server would run it.
    if (fromClient.position === 'midMessage') link.server?.channel.destroy();
    link.leave();
    void (this.#cancelling ?? Promise.resolve(true)).then((over) => {
      const afterwards = over && !link.server?.channel.closed ? server : 'close';
      link.close(afterwards === 'close' ? 'close' : 'dirty');
      this.#parts.ended({ reason, server: afterwards });
    });
  }

  #deadline(ms: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
    this.#timer.unref();
  }
}
