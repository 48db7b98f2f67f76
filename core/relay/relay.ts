/** Moves bytes between one client and one server connection after login, and knows at any time who owes what to whom. */
import { randomBytes } from 'node:crypto';
import { GatewayError } from '../errors.ts';
import type { SessionState } from '../session.ts';
import { readParameterStatus } from '../wire/backend.ts';
import { noticeResponse } from '../wire/to-client.ts';
import { FLUSH, SYNC, encodeClose } from '../wire/to-server.ts';
import { Ending } from './ending.ts';
import type { RelayEnd } from './ending.ts';
import type { RelayOptions } from './relay-options.ts';
import { FromClient } from './from-client.ts';
import { FromServer } from './from-server.ts';
import { Gate } from './gate.ts';
import { Ledger } from './ledger.ts';
import { Pause, Pauses } from './pauses.ts';
import { Seat } from './seat.ts';
import { Seating } from './seating.ts';
import { SharedStatements } from './shared-statements.ts';
import { StatementLog } from './statement-log.ts';
import { Status, boundary } from './transaction-boundary.ts';
import { Turns } from './turns.ts';
import { Vacancy } from './vacancy.ts';

/** One per session; ends once, and then `done` resolves. */
export class Relay {
  readonly done: Promise<RelayEnd>;
  readonly #options: RelayOptions;
  readonly #ledger: Ledger;
  readonly #seat: Seat;
  readonly #pauses: Pauses;
  readonly #turns: Turns | undefined;
  readonly #seating: Seating;
  readonly #gate: Gate;
  readonly #fromClient: FromClient;
  readonly #fromServer: FromServer;
  readonly #ending: Ending;
  #state: SessionState = 'idle';
  #notices: Buffer[] = [];

  constructor(options: RelayOptions) {
    this.#options = options;
    const { client, lender } = options;
    const ledger = new Ledger(options.tally);
    this.#ledger = ledger;
    const seat = new Seat(options.server, options.lender);
    this.#seat = seat;
    this.#pauses = new Pauses(client);
    const log = options.statement && new StatementLog(options.statement);
    const turns = lender && new Turns({ client, log: options.log, lender, seat, ledger });
    this.#turns = turns;
    const betweenTransactions = (): boolean => boundary(this.#ending.state, 'next message').free;
    const seating = new Seating({
      seat,
      ledger,
      turns,
      refresh: options.refresh,
      fault: options.fault,
      pauses: this.#pauses,
      betweenTransactions,
    });
    this.#seating = seating;
    const pin = (why: string): void => turns?.pin(why);
    const shared = lender && new SharedStatements({ seat, ledger, lender, pin });
    const gate = new Gate({
      ...options,
      ledger,
      log,
      shared,
      betweenTransactions,
      encoding: () => (seat.server ?? lender)?.parameters.get('client_encoding'),
      flush: () => {
        ledger.flush();
        seat.write(FLUSH);
      },
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
      seating,
      vacancy: new Vacancy({ ledger, gate, seating }),
      walked: settled,
      toServer: (bytes) => {
        if (!seat.write(bytes)) this.#pauses.add(Pause.full);
      },
      held: (waiting) => {
        if (waiting) this.#pauses.add(Pause.held);
        else this.#pauses.remove(Pause.held, this.#ending.decided);
        settled();
      },
      terminated: () => this.#ending.terminated(),
      violated: (error) => this.#ending.speak(error, 'answered', 'ended'),
      failed: (error) => this.end(error),
    });
    this.#fromServer = new FromServer({
      ledger,
      settled,
      completed: seating.hearing(shared),
      toClient: (bytes) => {
        if (!client.write(bytes)) seat.pause();
      },
      refusedWrite: () => seat.server && options.refusedWrite?.(seat.server),
      parameter: (body) => seat.reported(readParameterStatus(body)),
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
    const parts = { ledger, fromClient: this.#fromClient, fromServer: this.#fromServer };
    this.#ending = new Ending({ ...parts, client, log: options.log, seat, gate, link: seating, ended });
  }

  /** Takes over both channels; ReadyForQuery has been sent to the client. */
  start(): void {
    const { client } = this.#options;
    if (this.#ending.decided) return;
    client.listen({
      bytes: (chunk) => this.#fromClient.receive(chunk),
      drained: () => {
        this.#seat.resume();
        this.#pauses.remove(Pause.unread, this.#ending.decided);
      },
      closed: () => this.#ending.clientLost(),
    });
    this.#seat.listen({
      bytes: (chunk) => this.#fromServer.receive(chunk),
      drained: () => {
        this.#pauses.remove(Pause.full, this.#ending.decided);
        this.#settled();
      },
      closed: () => this.#ending.serverLost(),
    });
    client.resume();
    this.#settled();
  }

  /** What policies rely on wants other values: they are set before the client's next message. */
  refresh(): void {
    this.#seating.spoil();
  }

  get state(): SessionState {
    return this.#state;
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
    const canceled = new GatewayError('query_canceled', 'canceling statement due to user request');
    if (this.#seat.giveUp(canceled)) return;
    const { uncertain, endsReady } = this.#ledger;
    if (this.#ending.decided || uncertain?.probing || (!endsReady && this.#gate.cancel())) return;
    if (boundary(this.#ending.state, 'cancel').free) return;
    await this.#ending.cancel();
    this.#settled();
  }

  // ---- after every step ----

  get #restful(): boolean {
    return this.#ledger.unfinished === undefined && !this.#gate.discarding;
  }

  #settled(): void {
    if (this.#ending.decided || this.#fromServer.walking) return;
    if (this.#ledger.answerLost) this.#gate.lost();
    this.#gate.calm.settled();
    if (this.#fromServer.atBorder) this.#speak();
    this.#probe();
    this.#showState();
    this.#ending.settled();
    this.#turns?.giveBack(this.#ending.state);
  }

  #speak(): void {
    while (this.#ledger.localDue) this.#say(this.#ledger.takeLocal());
    for (const notice of this.#notices.splice(0)) this.#say(notice);
  }

  /** A client that does not read our answers is not asked for more questions. */
  #say(bytes: Buffer): void {
    if (!this.#options.client.write(bytes)) this.#pauses.add(Pause.unread);
  }

  /** See the ledger's `uncertain`: a Close of a name nobody has, whose answer tells where the client's answers end. */
  #probe(): void {
    const { uncertain } = this.#ledger;
    if (uncertain?.wantsProbe && this.#fromClient.position === 'boundary' && !this.#ending.cancelling) {
      this.#pauses.add(Pause.probe);
      uncertain.probe();
      const name = `postern_${randomBytes(16).toString('hex')}`;
      this.#seat.write(Buffer.concat([encodeClose('S', name), SYNC]));
    } else if (this.#pauses.has(Pause.probe) && !uncertain?.probing) {
      this.#pauses.remove(Pause.probe, this.#ending.decided);
    }
  }

  #showState(): void {
    const state =
      this.#restful && !this.#fromClient.waiting ? (STATES.get(this.#ledger.status) ?? 'active') : 'active';
    if (state === this.#state) return;
    this.#state = state;
    this.#options.stateChanged(state);
  }
}

const STATES = new Map<number, SessionState>([
  [Status.idle, 'idle'],
  [Status.transaction, 'idle in transaction'],
  [Status.failed, 'idle in transaction (aborted)'],
]);
