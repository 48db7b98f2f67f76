/** Moves bytes between one client and one server connection after login, and knows at any time which requests are outstanding. */
import { GatewayError } from '../errors.ts';
import type { SessionState } from '../session.ts';
import { noticeResponse } from '../wire/to-client.ts';
import type { RelayEnd } from './ending.ts';
import { Pause } from './pauses.ts';
import { RelayStreams } from './relay-streams.ts';
import { boundary, stateOf } from './transaction-boundary.ts';

/** One per session; ends once. */
export class Relay extends RelayStreams {
  #state: SessionState = 'idle';
  #notices: Buffer[] | undefined;
  #end: RelayEnd | undefined;
  #waiting: ((end: RelayEnd) => void)[] | undefined;

  /** Resolves when it is over. Whoever keeps sessions in memory takes `ended` of the options: it costs them nothing. */
  get done(): Promise<RelayEnd> {
    if (this.#end) return Promise.resolve(this.#end);
    return new Promise((resolve) => (this.#waiting ??= []).push(resolve));
  }

  /** Takes over both channels; ReadyForQuery has been sent to the client. */
  start(): void {
    if (this.ending.decided) return;
    this.client.listen(this.fromClient);
    this.link.listen(this.fromServer);
    this.client.resume();
    this.settled();
  }

  /** Settings of policies have other values now: they are set before the client's next message. */
  refresh(): void {
    this.link.outdateSettings();
  }

  get state(): SessionState {
    return this.#state;
  }

  /** A COPY failed in a way that hides which answers are outstanding: the session goes on, its connection ends with it. */
  get uncertain(): boolean {
    return this.ledger.spoilt || this.ledger.uncertain !== undefined;
  }

  /** Ends the session with FATAL `error` at the next message boundary, or at once; a running statement is cancelled. */
  override end(error: GatewayError, atOnce = false): void {
    this.ending.speak(error, atOnce ? 'now' : 'border', 'ended');
  }

  /** Ends the session with FATAL `error` as soon as it is idle. */
  drain(error: GatewayError): void {
    this.ending.speak(error, 'idle', 'drained');
  }

  /** Sends a NoticeResponse at the next message boundary. */
  notice(message: string, hint?: string): void {
    (this.#notices ??= []).push(noticeResponse({ severity: 'NOTICE', code: '00000', message, hint }));
    this.settled();
  }

  /**
   * The client's CancelRequest: cancels the running statement, or else the wait for a hook; resolves when it can no
   * longer hit another statement.
   */
  async cancel(): Promise<void> {
    const canceled = new GatewayError('query_canceled', 'canceling statement due to user request');
    if (this.link.cancel(canceled)) return;
    const { uncertain, endsReady } = this.ledger;
    if (this.ending.decided || uncertain?.probing || (!endsReady && this.gate.cancel())) return;
    if (boundary(this, 'cancel').free) return;
    await this.ending.cancel();
    this.settled();
  }

  override ended(end: RelayEnd): void {
    this.statements?.abandon();
    this.#end = end;
    this.options.ended?.(end);
    for (const resolve of this.#waiting ?? []) resolve(end);
  }

  // ---- after every step ----

  get #restful(): boolean {
    return this.ledger.unfinished === undefined && !this.gate.discarding;
  }

  override settled(): void {
    if (this.ending.decided || this.fromServer.walking) return;
    if (this.ledger.answerLost) this.gate.lost();
    this.gate.calm.settled();
    if (this.fromServer.atBorder) this.#speak();
    this.#probe();
    this.#showState();
    this.ending.settled();
    this.#checkIn();
  }

  #checkIn(): void {
    if (this.link.state !== 'linked' || !this.source) return;
    const at = boundary(this, 'check-in');
    if (at.free) this.link.checkIn(at.server);
  }

  #speak(): void {
    while (this.ledger.localDue) this.#say(this.ledger.takeLocal());
    if (!this.#notices) return;
    for (const notice of this.#notices) this.#say(notice);
    this.#notices = undefined;
  }

  /** Writes to the client. While it does not read the gateway's answers, no more of its messages are read. */
  #say(bytes: Buffer): void {
    if (!this.client.write(bytes)) this.pauses.add(Pause.unread);
  }

  /** See the ledger's `uncertain`: closes a name that no statement has; the answer shows where the client's answers end. */
  #probe(): void {
    const { uncertain } = this.ledger;
    if (uncertain?.wantsProbe && this.#serverHasWholeMessages && !this.ending.cancelling) {
      this.pauses.add(Pause.probe);
      this.link.write(uncertain.probe());
    } else if (this.pauses.has(Pause.probe) && !uncertain?.probing) {
      this.pauses.remove(Pause.probe, this.ending.decided);
    }
  }

  get #serverHasWholeMessages(): boolean {
    const { position, waiting } = this.fromClient;
    return position === 'boundary' || position === 'partial' || waiting;
  }

  #showState(): void {
    const state = this.#restful && !this.fromClient.waiting ? stateOf(this.ledger.status) : 'active';
    if (state === this.#state) return;
    this.#state = state;
    this.options.stateChanged(state);
  }
}
