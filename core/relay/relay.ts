/** One session after login: its state, its end, and the steps that become possible after each message. */
import { GatewayError } from '../contract/errors.ts';
import type { SessionState } from '../contract/session.ts';
import { noticeResponse } from '../wire/to-client.ts';
import type { RelayEnd } from './session-end.ts';
import { PauseReason } from './from-client.ts';
import { boundary, stateOf } from './transaction-boundary.ts';
import { RelayStreams } from './relay-streams.ts';

/**
 * Moves bytes between one client and one server connection after login, and knows at any time which requests are
 * outstanding. One per session; ends once.
 */
export class Relay extends RelayStreams {
  #state: SessionState = 'idle';
  #notices: Buffer[] | undefined;
  #end: RelayEnd | undefined;
  #waiting: ((end: RelayEnd) => void)[] | undefined;

  /** Resolves when it is over. The gateway uses `ended` of the options instead, which costs a session no promise. */
  get done(): Promise<RelayEnd> {
    if (this.#end) return Promise.resolve(this.#end);
    return new Promise((resolve) => (this.#waiting ??= []).push(resolve));
  }

  /** Takes over both channels; ReadyForQuery has been sent to the client. */
  start(): void {
    if (this.sessionEnd.decided) return;
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
    return this.outstanding.outOfSync || this.outstanding.recovery !== undefined;
  }

  /** Ends the session with FATAL `error` at the next message boundary, or at once; a running statement is cancelled. */
  override end(error: GatewayError, atOnce = false): void {
    this.sessionEnd.endWith(error, atOnce ? 'now' : 'boundary', 'ended');
  }

  /** Ends the session with FATAL `error` as soon as it is idle. */
  drain(error: GatewayError): void {
    this.sessionEnd.endWith(error, 'idle', 'drained');
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
    const { recovery, endsReady } = this.outstanding;
    if (this.sessionEnd.decided || recovery?.probing || (!endsReady && this.queryHook.cancel())) return;
    if (boundary(this, 'cancel').free) return;
    await this.sessionEnd.cancel();
    this.settled();
  }

  override ended(end: RelayEnd): void {
    this.objectChanges.over();
    this.statements?.abandon();
    this.#end = end;
    this.options.ended?.(end);
    for (const resolve of this.#waiting ?? []) resolve(end);
  }

  // ---- after every step ----

  override settled(): void {
    if (this.objectChanges.pending && this.betweenTransactions()) this.objectChanges.over();
    this.statements?.chunkRead();
    if (this.sessionEnd.decided || this.fromServer.processing) return;
    if (this.outstanding.answerLost) this.queryHook.failOrderLost();
    if (this.fromClient.waiting) this.queryHook.barrier.settled();
    if (this.fromServer.atBoundary) this.#sendPending();
    this.#probe();
    this.#showState();
    this.sessionEnd.settled();
    this.#checkIn();
  }

  #checkIn(): void {
    if (this.link.state !== 'linked' || !this.source) return;
    const at = boundary(this, 'check-in');
    if (!at.free) return;
    const left = this.prepared?.takeLeftNames() === true && at.server !== 'close';
    this.link.checkIn(left ? 'dirty' : at.server);
  }

  #sendPending(): void {
    while (this.outstanding.synthesizedDue) this.#sendToClient(this.outstanding.takeSynthesized());
    if (!this.#notices) return;
    for (const notice of this.#notices) this.#sendToClient(notice);
    this.#notices = undefined;
  }

  /** Writes to the client. While it does not read the gateway's answers, no more of its messages are read. */
  #sendToClient(bytes: Buffer): void {
    if (!this.client.write(bytes)) this.pauses.add(PauseReason.unread);
  }

  /** See `recovery` of the outstanding requests: closes a name that no statement has; the answer shows where the client's answers end. */
  #probe(): void {
    const { recovery } = this.outstanding;
    if (recovery?.wantsProbe && this.#serverHasWholeMessages() && !this.sessionEnd.cancelling) {
      this.pauses.add(PauseReason.probe);
      this.link.write(recovery.probe());
    } else if (this.pauses.has(PauseReason.probe) && !recovery?.probing) {
      this.pauses.remove(PauseReason.probe, this.sessionEnd.decided);
    }
  }

  #serverHasWholeMessages(): boolean {
    const { position, waiting } = this.fromClient;
    return position === 'boundary' || position === 'partial' || waiting;
  }

  #showState(): void {
    const atRest = this.outstanding.unfinished === undefined && !this.queryHook.discarding;
    const state = atRest && !this.fromClient.waiting ? stateOf(this.outstanding.status) : 'active';
    if (state === this.#state) return;
    this.#state = state;
    this.options.stateChanged(state);
  }
}
