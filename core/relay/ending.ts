/** How a session ends, and what becomes of its server connection: every way out of a relay, each taken at most once. */
import { GatewayError } from '../errors.ts';
import type { Channel } from '../net/channel.ts';
import type { CloseReason, Logger } from '../session.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { refusal } from '../wire/to-client.ts';
import type { FromClient } from './from-client.ts';
import type { FromServer } from './from-server.ts';
import type { Ledger } from './ledger.ts';
import type { ServerLink } from './server-link.ts';
import { boundary } from './transaction-boundary.ts';
import type { BoundaryState } from './transaction-boundary.ts';

/** How it ended, and whether the server connection can serve somebody else. */
export interface RelayEnd {
  readonly reason: CloseReason;
  readonly server: 'dirty' | 'close';
}

/** What an ending looks at and stops. */
export interface EndingParts {
  readonly client: Channel;
  readonly link: ServerLink;
  readonly log: Logger;
  readonly ledger: Ledger;
  readonly gate: BoundaryState['gate'];
  readonly pauses: BoundaryState['pauses'];
  readonly fromClient: FromClient;
  readonly fromServer: FromServer;
  /** Called once, when the session is over and nothing can hit its server connection any more. */
  readonly ended: (end: RelayEnd) => void;
}

/** How long the work in front of a Terminate may go on, in milliseconds. */
const LEAVE_MS = 60_000;
/** How long a FATAL of ours waits for the end of a message that is under way to the client, in milliseconds. */
const BORDER_MS = 5_000;

/** A FATAL of ours that waits for its moment. */
interface LastWord {
  readonly error: GatewayError;
  /** At the next border of a message, when all owed answers have passed, or when the session is idle. */
  readonly when: 'border' | 'answered' | 'idle';
  readonly kind: 'ended' | 'drained';
}

/** One per relay. */
export class Ending {
  /** What every decision at a transaction's boundary is made from. */
  readonly state: BoundaryState;
  readonly #parts: EndingParts;
  #last: LastWord | undefined;
  /** The client said Terminate: what it is still owed is worked off, not heard. */
  #leaving = false;
  /** The client is gone, and has said so behind what is still held here. */
  #gone = false;
  /** Decided; only a cancel is still waited for. */
  #reason: CloseReason | undefined;
  #over = false;
  #timer: NodeJS.Timeout | undefined;
  #cancelling: Promise<boolean> | undefined;
  #hitLate: ServerConnection | undefined;

  constructor(parts: EndingParts) {
    this.#parts = parts;
    this.state = { ...parts, ending: this };
  }

  get decided(): boolean {
    return this.#reason !== undefined;
  }

  get cancelling(): boolean {
    return this.#cancelling !== undefined;
  }

  /** Looks again whether what waits for its moment may happen: after every step of the relay. */
  settled(): void {
    if (this.decided || this.#parts.fromServer.walking) return;
    if (this.#last) this.#trySpeak(this.#last);
    if (this.#leaving) this.#tryLeave();
    else if (this.#gone) this.clientLost();
  }

  /** Sends FATAL `error` when the moment has come, and ends; `now`: or does without it. */
  speak(error: GatewayError, when: LastWord['when'] | 'now', kind: LastWord['kind']): void {
    if (when === 'now') return this.#speakNow(error, kind);
    if (this.decided || this.#last?.when === 'border' || (this.#last && when === 'idle')) return;
    this.#last = { error, when, kind };
    if (when === 'border') {
      this.#deadline(BORDER_MS, () => {
        this.#speakNow(error, kind);
      });
    } else if (when === 'answered') {
      this.#deadline(LEAVE_MS, () => {
        this.#speakNow(error, kind);
      });
    }
    this.settled();
  }

  /** The client said Terminate. */
  terminated(): void {
    if (this.decided) return;
    this.#leaving = true;
    if (this.#last?.when !== 'border') {
      this.#deadline(LEAVE_MS, () => {
        this.#cancelThenEnd({ kind: 'client' });
      });
    }
    this.settled();
  }

  /** The client is gone. Nothing is completed on its behalf: no Sync, no CopyDone. */
  clientLost(): void {
    const { fromClient, link } = this.#parts;
    if (this.decided) return;
    // It may have been waiting for the client to read.
    if (this.#leaving) return link.resume();
    // Its last words wait for us. Whoever waits for a connection has left the queue.
    this.#gone = fromClient.departing && !link.waiting;
    if (this.#gone) return;
    fromClient.stop();
    this.#endOrCancel({ kind: 'lost' });
  }

  /** The server connection is gone; its FATAL, if it sent one, has passed. */
  serverLost(): void {
    if (this.#over) return;
    const { client, ledger, fromServer } = this.#parts;
    if (!this.decided) {
      const silent = this.#leaving || ledger.fatal || !fromServer.atBorder;
      const lost = new GatewayError('connection_failure', 'the server closed the connection unexpectedly', {
        hint: 'Whether the statement under way took effect is not known.',
      });
      client.finish(silent ? undefined : refusal('FATAL', lost));
    }
    this.#end(this.#reason ?? { kind: this.#leaving ? 'client' : 'upstream' }, 'close');
  }

  /** The server said what answers nothing, or cannot be read. */
  serverBroke(why: string): void {
    const { client, link, log, fromServer } = this.#parts;
    log.error(
      { server_pid: link.server?.pid, why },
      'the server broke the protocol; its connection is closed',
    );
    const error = new GatewayError('protocol_violation', 'the server broke the protocol');
    client.finish(fromServer.atBorder ? refusal('FATAL', error) : undefined);
    this.#end({ kind: 'ended', error }, 'close');
  }

  /** Has PostgreSQL cancel what runs; resolves with false if a late cancel may still hit the connection. */
  cancel(): Promise<boolean> {
    const { server } = this.#parts.link;
    if (!server) return Promise.resolve(true);
    this.#cancelling ??= server.cancel().then((over) => {
      this.#cancelling = undefined;
      if (!over) this.#hitLate = server;
      return over;
    });
    return this.#cancelling;
  }

  /** A cancel was not over in time and may still hit this connection: nobody else may get it. */
  get lateCancelPossible(): boolean {
    return this.#hitLate !== undefined && this.#hitLate === this.#parts.link.server;
  }

  // ---- when ----

  #tryLeave(): void {
    const { ledger } = this.#parts;
    // Work without its Sync, a COPY without its end, a transaction without its COMMIT: closing undoes it.
    if (ledger.answered || !ledger.endsReady) this.#end({ kind: 'client' }, this.#serverAfter());
  }

  #trySpeak({ error, when, kind }: LastWord): void {
    const { ledger, fromServer } = this.#parts;
    if (!fromServer.atBorder) return;
    if (when === 'answered' && !ledger.answered && !ledger.stuck) return;
    if (when === 'idle' && !boundary(this.state, 'drain').free) return;
    this.#speakNow(error, kind);
  }

  // ---- what ----

  #speakNow(error: GatewayError, kind: 'ended' | 'drained'): void {
    if (this.decided) return;
    const { client, fromServer } = this.#parts;
    if (fromServer.atBorder) client.finish(refusal('FATAL', error));
    else client.destroy();
    this.#endOrCancel({ kind, error });
  }

  #endOrCancel(reason: CloseReason): void {
    if (boundary(this.state, 'cancel').free) this.#end(reason, this.#serverAfter());
    else this.#cancelThenEnd(reason);
  }

  #serverAfter(): 'dirty' | 'close' {
    const at = boundary(this.state, 'end');
    return at.free && at.server !== 'close' ? 'dirty' : 'close';
  }

  #cancelThenEnd(reason: CloseReason): void {
    this.#reason = reason;
    this.#stop();
    // Nobody is left to read, and what the server still says must not stop it from reaching its end.
    this.#parts.link.resume();
    void this.cancel().then(() => {
      this.#end(reason, 'close');
    });
  }

  #stop(): void {
    clearTimeout(this.#timer);
    this.#parts.fromClient.stop();
    this.#parts.fromServer.stop();
  }

  #end(reason: CloseReason, server: 'dirty' | 'close'): void {
    if (this.#over) return;
    this.#over = true;
    this.#reason = reason;
    this.#stop();
    const { client, link, ended, fromClient } = this.#parts;
    if (!client.closed) client.finish();
    // A Terminate would complete the message, and the server would run it.
    if (fromClient.position === 'midMessage') link.server?.channel.destroy();
    link.leave();
    void (this.#cancelling ?? Promise.resolve(true)).then((over) => {
      const afterwards = over && !link.server?.channel.closed ? server : 'close';
      link.close(afterwards === 'close' ? 'close' : 'dirty');
      ended({ reason, server: afterwards });
    });
  }

  #deadline(ms: number, then: () => void): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(then, ms);
    this.#timer.unref();
  }
}
