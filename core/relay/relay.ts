/** Moves bytes between one client and one server connection after login, and knows at any time who owes what to whom. */
import { randomBytes } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { Channel } from '../net/channel.ts';
import type { CloseReason, Logger, SessionState } from '../session.ts';
import type { Statement } from '../statement.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { readParameterStatus } from '../wire/backend.ts';
import { noticeResponse, refusal } from '../wire/to-client.ts';
import { SYNC, encodeClose } from '../wire/to-server.ts';
import { FromClient } from './from-client.ts';
import { FromServer } from './from-server.ts';
import { Gate } from './gate.ts';
import { Ledger, Status } from './ledger.ts';
import { StatementLog } from './statement-log.ts';
import type { StatementEnd } from './statement-log.ts';

/** What a relay connects, and whom it asks. */
export interface RelayOptions {
  readonly client: Channel;
  readonly server: ServerConnection;
  readonly log: Logger;
  /** `onQuery`, bound to the session; absent when nobody taps, and then no statement is ever decoded. */
  readonly query?: ((statement: Statement) => Statement | Promise<Statement>) | undefined;
  readonly reads: 'none' | 'kind' | 'sql' | 'parameters';
  /** `SET postern.x = '…'`: rejects to refuse. */
  readonly inBand: (name: string, value: string) => Promise<void>;
  readonly maxStatementBytes: number;
  /** Absent when nobody observes statements. */
  readonly statement?: ((ended: StatementEnd) => void) | undefined;
  /** Turns whatever a hook threw into what the client may read. */
  readonly fault: (thrown: unknown) => GatewayError;
  readonly stateChanged: (state: SessionState) => void;
}

/** How it ended, and whether the server connection can serve somebody else. */
export interface RelayEnd {
  readonly reason: CloseReason;
  readonly server: 'reusable' | 'close';
}

/** How long the work in front of a Terminate may go on, in milliseconds. */
const LEAVE_MS = 60_000;
/** How long a FATAL of ours waits for the end of a message that is under way to the client, in milliseconds. */
const BORDER_MS = 5_000;

/** Why the client is not read at present: bits. */
const Pause = { full: 1, held: 2, probe: 4 } as const;

/** One per session; ends once, and then `done` resolves. */
export class Relay {
  readonly done: Promise<RelayEnd>;
  readonly #options: RelayOptions;
  readonly #ledger = new Ledger();
  readonly #gate: Gate;
  readonly #fromClient: FromClient;
  readonly #fromServer: FromServer;
  readonly #log: StatementLog | undefined;
  #resolve: (end: RelayEnd) => void = () => {};
  #state: SessionState = 'idle';
  #paused = 0;
  #notices: Buffer[] = [];
  #finished = false;
  #leaving = false;
  #last: { readonly error: GatewayError; readonly when: 'border' | 'answered' | 'idle'; readonly kind: 'ended' | 'drained' } | undefined;
  #timer: NodeJS.Timeout | undefined;
  #cancelling: Promise<boolean> | undefined;

  constructor(options: RelayOptions) {
    this.#options = options;
    this.#log = options.statement && new StatementLog(options.statement);
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.#gate = new Gate({
      ...options,
      ledger: this.#ledger,
      log: this.#log,
      encoding: () => options.server.parameters.get('client_encoding'),
      unplaceable: (error) => {
        this.end(error);
      },
    });
    this.#fromClient = new FromClient({
      ledger: this.#ledger,
      gate: this.#gate,
      toServer: (bytes) => {
        if (!options.server.channel.write(bytes)) this.#pause(Pause.full);
      },
      held: (waiting) => {
        if (waiting) this.#pause(Pause.held);
        else this.#unpause(Pause.held);
        this.#settled();
      },
      terminated: () => {
        this.#terminated();
      },
      violated: (error) => {
        this.#endWhen('answered', error);
      },
      walked: () => {
        this.#settled();
      },
    });
    this.#fromServer = new FromServer({
      ledger: this.#ledger,
      toClient: (bytes) => {
        if (!options.client.write(bytes)) options.server.channel.pause();
      },
      parameter: (body) => {
        const { name, value } = readParameterStatus(body);
        options.server.parameters.set(name, value);
      },
      masked: (code, error) => {
        options.log.info({ sqlstate: error.sqlstate, server_sqlstate: code }, 'statement refused');
      },
      broken: () => {
        this.#broken();
      },
      settled: () => {
        this.#settled();
      },
    });
  }

  /** Takes over both channels; ReadyForQuery has been sent to the client. */
  start(): void {
    const { client, server } = this.#options;
    client.listen({
      bytes: (chunk) => {
        this.#fromClient.receive(chunk);
      },
      drained: () => {
        server.channel.resume();
      },
      closed: () => {
        this.#clientClosed();
      },
    });
    server.channel.listen({
      bytes: (chunk) => {
        this.#fromServer.receive(chunk);
      },
      drained: () => {
        this.#unpause(Pause.full);
      },
      closed: () => {
        this.#serverClosed();
      },
    });
    server.channel.resume();
    client.resume();
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Nothing is owed, begun, held or under way in either direction, and no transaction is open. */
  get idle(): boolean {
    return (
      this.#restful &&
      this.#ledger.status === Status.idle &&
      this.#fromClient.atBorder &&
      this.#cancelling === undefined &&
      this.#options.client.queued + this.#options.server.channel.queued === 0
    );
  }

  /** Ends the session with FATAL `error` at the next message border; what runs is cancelled. */
  end(error: GatewayError): void {
    this.#endWhen('border', error);
  }

  /** Ends the session with FATAL `error` as soon as it is idle. */
  drain(error: GatewayError): void {
    this.#endWhen('idle', error, 'drained');
  }

  /** Sends a NoticeResponse at the next message border. */
  notice(message: string, hint?: string): void {
    this.#notices.push(noticeResponse({ severity: 'NOTICE', code: '00000', message, hint }));
    this.#settled();
  }

  /** The client's CancelRequest: cancels what runs, if anything; resolves when it can no longer hit something else. */
  async cancel(): Promise<void> {
    if (this.#finished || this.#gate.cancel() || this.#ledger.answered || this.#ledger.probing) return;
    await this.#cancelServer();
  }

  // ---- after every step ----

  get #restful(): boolean {
    return this.#ledger.quiet && !this.#gate.discarding;
  }

  #settled(): void {
    if (this.#finished) return;
    if (this.#fromServer.atBorder) this.#speak();
    this.#probe();
    this.#showState();
    if (this.#last) this.#tryEnd();
    if (this.#leaving) this.#tryLeave();
  }

  #speak(): void {
    while (this.#ledger.localReady) this.#options.client.write(this.#ledger.takeLocal());
    for (const notice of this.#notices.splice(0)) this.#options.client.write(notice);
  }

  /** See the ledger's `uncertain`: a Close of a name nobody has, whose answer tells where the client's answers end. */
  #probe(): void {
    if (this.#ledger.wantsProbe && this.#fromClient.atBorder) {
      this.#pause(Pause.probe);
      this.#ledger.probe();
      const name = `postern_${randomBytes(16).toString('hex')}`;
      this.#options.server.channel.write(Buffer.concat([encodeClose('S', name), SYNC]));
    } else if ((this.#paused & Pause.probe) !== 0 && !this.#ledger.probing) {
      this.#unpause(Pause.probe);
    }
  }

  #showState(): void {
    const state = this.#restful ? STATES.get(this.#ledger.status) ?? 'active' : 'active';
    if (state === this.#state) return;
    this.#state = state;
    this.#options.stateChanged(state);
  }

  #pause(why: number): void {
    this.#paused |= why;
    this.#options.client.pause();
  }

  #unpause(why: number): void {
    if (this.#paused === 0) return;
    this.#paused &= ~why;
    if (this.#paused === 0 && !this.#finished) this.#options.client.resume();
  }

  // ---- ends ----

  #terminated(): void {
    this.#leaving = true;
    this.#deadline(LEAVE_MS, () => {
      this.#cancelThenFinish({ kind: 'client' });
    });
    this.#settled();
  }

  #tryLeave(): void {
    const { answered, quiet, status, copyIn } = this.#ledger;
    // Work without its Sync, a COPY without its end, a transaction without its COMMIT: closing undoes it.
    if (answered || copyIn || this.#ledger.spoilt) {
      this.#finish({ kind: 'client' }, quiet && status === Status.idle ? 'reusable' : 'close');
    }
  }

  #clientClosed(): void {
    if (this.#finished || this.#leaving) return;
    this.#fromClient.stop();
    const torn = this.#fromClient.torn;
    if (this.#restful && !torn) this.#finish({ kind: 'lost' }, this.#serverAfter());
    else if (this.#ledger.answered) this.#finish({ kind: 'lost' }, 'close');
    else this.#cancelThenFinish({ kind: 'lost' });
  }

  #serverAfter(): 'reusable' | 'close' {
    const clean = this.#restful && this.#ledger.status === Status.idle && !this.#ledger.spoilt && !this.#fromClient.torn;
    return clean ? 'reusable' : 'close';
  }

  #endWhen(when: 'border' | 'answered' | 'idle', error: GatewayError, kind: 'ended' | 'drained' = 'ended'): void {
    if (this.#finished || (this.#last && when === 'idle')) return;
    this.#last = { error, when, kind };
    if (when === 'border') {
      this.#deadline(BORDER_MS, () => {
        this.#speakLast(error, kind);
      });
    } else if (when === 'answered') {
      this.#deadline(LEAVE_MS, () => {
        this.end(error);
      });
    }
    this.#settled();
  }

  #tryEnd(): void {
    if (!this.#last || !this.#fromServer.atBorder) return;
    const { error, when, kind } = this.#last;
    if (when === 'answered' && !this.#ledger.answered) return;
    if (when === 'idle' && !(this.#restful && this.#ledger.status === Status.idle && this.#fromClient.atBorder)) return;
    this.#speakLast(error, kind);
  }

  #speakLast(error: GatewayError, kind: 'ended' | 'drained'): void {
    if (this.#finished) return;
    const { client } = this.#options;
    this.#fromClient.stop();
    this.#fromServer.stop();
    this.#clearDeadline();
    if (this.#fromServer.atBorder) client.finish(refusal('FATAL', error));
    else client.destroy();
    if (this.#ledger.answered) this.#finish({ kind, error }, this.#serverAfter());
    else this.#cancelThenFinish({ kind, error });
  }

  #broken(): void {
    this.#options.log.error({ server_pid: this.#options.server.pid }, 'the server answered out of order; closing');
    const error = new GatewayError('protocol_violation', 'the server broke the protocol');
    this.#fromClient.stop();
    this.#options.client.finish(refusal('FATAL', error));
    this.#finish({ kind: 'ended', error }, 'close');
  }

  #serverClosed(): void {
    if (this.#finished) return;
    this.#fromClient.stop();
    this.#fromServer.stop();
    const silent = this.#leaving || this.#ledger.fatal || !this.#fromServer.atBorder;
    const lost = new GatewayError('connection_failure', 'the server closed the connection unexpectedly', {
      hint: 'Whether the statement under way took effect is not known.',
    });
    this.#options.client.finish(silent ? undefined : refusal('FATAL', lost));
    this.#finish({ kind: this.#leaving ? 'client' : 'upstream' }, 'close');
  }

  #cancelServer(): Promise<boolean> {
    this.#cancelling ??= this.#options.server.cancel().finally(() => {
      this.#cancelling = undefined;
      this.#settled();
    });
    return this.#cancelling;
  }

  #cancelThenFinish(reason: CloseReason): void {
    this.#fromServer.stop();
    // Nobody is left to read: what the server still says must not stop it from reaching its end.
    this.#options.server.channel.resume();
    void this.#cancelServer().then(() => {
      this.#finish(reason, 'close');
    });
  }

  #finish(reason: CloseReason, server: 'reusable' | 'close'): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#clearDeadline();
    this.#fromClient.stop();
    this.#fromServer.stop();
    this.#log?.abandon();
    const { client, server: connection } = this.#options;
    if (!client.closed) client.finish();
    connection.channel.pause();
    connection.channel.listen({ bytes() {}, drained() {}, closed() {} });
    // A cancel under way may still hit: the connection changes hands only when it is over.
    const cancelled = this.#cancelling ?? Promise.resolve(true);
    void cancelled.then((over) => {
      this.#resolve({ reason, server: over && !connection.channel.closed ? server : 'close' });
    });
  }

  #deadline(ms: number, then: () => void): void {
    this.#clearDeadline();
    this.#timer = setTimeout(then, ms);
    this.#timer.unref();
  }

  #clearDeadline(): void {
    clearTimeout(this.#timer);
  }
}

const STATES = new Map<number, SessionState>([
  [Status.idle, 'idle'],
  [Status.transaction, 'idle in transaction'],
  [Status.failed, 'idle in transaction (aborted)'],
]);
