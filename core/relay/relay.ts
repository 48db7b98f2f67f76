/** Moves bytes between one client and one server connection after login, and knows at any time who owes what to whom. */
import { randomBytes } from 'node:crypto';
import type { GatewayError } from '../errors.ts';
import type { Channel } from '../net/channel.ts';
import type { Logger, SessionState } from '../session.ts';
import type { Statement } from '../statement.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { readParameterStatus } from '../wire/backend.ts';
import { noticeResponse } from '../wire/to-client.ts';
import { SYNC, encodeClose } from '../wire/to-server.ts';
import { Ending } from './ending.ts';
import type { RelayEnd } from './ending.ts';
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

/** Why the client is not read at present: bits. */
const Pause = { full: 1, held: 2, probe: 4, unread: 8 } as const;

/** One per session; ends once, and then `done` resolves. */
export class Relay {
  readonly done: Promise<RelayEnd>;
  readonly #options: RelayOptions;
  readonly #ledger = new Ledger();
  readonly #gate: Gate;
  readonly #fromClient: FromClient;
  readonly #fromServer: FromServer;
  readonly #ending: Ending;
  #state: SessionState = 'idle';
  #paused = 0;
  #notices: Buffer[] = [];

  constructor(options: RelayOptions) {
    this.#options = options;
    const { client, server } = options;
    const ledger = this.#ledger;
    const log = options.statement && new StatementLog(options.statement);
    const gate = new Gate({
      ...options,
      ledger,
      log,
      encoding: () => server.parameters.get('client_encoding'),
      unplaceable: (error) => {
        this.#fromClient.stop();
        this.end(error);
      },
    });
    const settled = (): void => this.#settled();
    this.#gate = gate;
    this.#fromClient = new FromClient({
      ledger,
      gate,
      walked: settled,
      toServer: (bytes) => {
        if (!server.channel.write(bytes)) this.#pause(Pause.full);
      },
      held: (waiting) => {
        if (waiting) this.#pause(Pause.held);
        else this.#unpause(Pause.held);
        settled();
      },
      terminated: () => this.#ending.terminated(),
      violated: (error) => this.#ending.speak(error, 'answered', 'ended'),
      failed: (error) => this.end(error),
    });
    this.#fromServer = new FromServer({
      ledger,
      settled,
      toClient: (bytes) => {
        if (!client.write(bytes)) server.channel.pause();
      },
      parameter: (body) => {
        const { name, value } = readParameterStatus(body);
        server.parameters.set(name, value);
      },
      masked: (code, error) => {
        const fields = { sqlstate: error.sqlstate, server_sqlstate: code };
        options.log.info(fields, 'statement refused');
      },
      broken: (why) => this.#ending.serverBroke(why),
    });
    let ended: (end: RelayEnd) => void = () => {};
    this.done = new Promise((resolve) => {
      ended = (end) => {
        log?.abandon();
        resolve(end);
      };
    });
    const streams = { fromClient: this.#fromClient, fromServer: this.#fromServer };
    this.#ending = new Ending({ client, server, log: options.log, ledger, gate, ...streams, ended });
  }

  /** Takes over both channels; ReadyForQuery has been sent to the client. */
  start(): void {
    const { client, server } = this.#options;
    if (this.#ending.decided) return;
    client.listen({
      bytes: (chunk) => this.#fromClient.receive(chunk),
      drained: () => {
        server.channel.resume();
        this.#unpause(Pause.unread);
      },
      closed: () => this.#ending.clientLost(),
    });
    server.channel.listen({
      bytes: (chunk) => this.#fromServer.receive(chunk),
      drained: () => this.#unpause(Pause.full),
      closed: () => this.#ending.serverLost(),
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
      !this.#ending.cancelling &&
      this.#options.client.queued + this.#options.server.channel.queued === 0
    );
  }

  /** A COPY failed in a way that hides which answers are still owed: the session goes on, its connection ends with it. */
  get uncertain(): boolean {
    return this.#ledger.spoilt;
  }

  /** Ends the session with FATAL `error` at the next message border; what runs is cancelled. */
  end(error: GatewayError): void {
    this.#ending.speak(error, 'border', 'ended');
  }

  /** Ends the session with FATAL `error` as soon as it is idle. */
  drain(error: GatewayError): void {
    this.#ending.speak(error, 'idle', 'drained');
  }

  /** Sends a NoticeResponse at the next message border. */
  notice(message: string, hint?: string): void {
    this.#notices.push(noticeResponse({ severity: 'NOTICE', code: '00000', message, hint }));
    this.#settled();
  }

  /**
   * The client's CancelRequest: cancels what runs, if anything, else the wait for a hook; resolves when it can no
   * longer hit something else.
   */
  async cancel(): Promise<void> {
    const { answered, uncertain, endsReady } = this.#ledger;
    if (this.#ending.decided || uncertain?.probing || (!endsReady && this.#gate.cancel()) || answered) return;
    await this.#ending.cancel();
    this.#settled();
  }

  // ---- after every step ----

  get #restful(): boolean {
    return this.#ledger.quiet && !this.#gate.discarding;
  }

  #settled(): void {
    if (this.#ending.decided) return;
    if (this.#ledger.answerLost) this.#gate.lost();
    if (this.#fromServer.atBorder) this.#speak();
    this.#probe();
    this.#showState();
    this.#ending.settled();
  }

  #speak(): void {
    while (this.#ledger.localReady) this.#say(this.#ledger.takeLocal());
    for (const notice of this.#notices.splice(0)) this.#say(notice);
  }

  /** A client that does not read our answers is not asked for more questions. */
  #say(bytes: Buffer): void {
    if (!this.#options.client.write(bytes)) this.#pause(Pause.unread);
  }

  /** See the ledger's `uncertain`: a Close of a name nobody has, whose answer tells where the client's answers end. */
  #probe(): void {
    const { uncertain } = this.#ledger;
    if (uncertain?.wantsProbe && this.#fromClient.atBorder && !this.#ending.cancelling) {
      this.#pause(Pause.probe);
      uncertain.probe();
      const name = `postern_${randomBytes(16).toString('hex')}`;
      this.#options.server.channel.write(Buffer.concat([encodeClose('S', name), SYNC]));
    } else if ((this.#paused & Pause.probe) !== 0 && !uncertain?.probing) {
      this.#unpause(Pause.probe);
    }
  }

  #showState(): void {
    const state =
      this.#restful && !this.#fromClient.waiting ? (STATES.get(this.#ledger.status) ?? 'active') : 'active';
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
    if (this.#paused === 0 && !this.#ending.decided) this.#options.client.resume();
  }
}

const STATES = new Map<number, SessionState>([
  [Status.idle, 'idle'],
  [Status.transaction, 'idle in transaction'],
  [Status.failed, 'idle in transaction (aborted)'],
]);
