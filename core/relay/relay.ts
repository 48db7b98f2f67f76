/** Moves bytes between one client and one server connection after login, and knows at any time which requests are outstanding. */
import { GatewayError } from '../errors.ts';
import type { SessionState } from '../session.ts';
import { readParameterStatus } from '../wire/backend.ts';
import { noticeResponse } from '../wire/to-client.ts';
import { FLUSH } from '../wire/to-server.ts';
import { Ending } from './ending.ts';
import type { RelayEnd } from './ending.ts';
import type { RelayOptions } from './relay-options.ts';
import { FromClient } from './from-client.ts';
import { FromServer } from './from-server.ts';
import { Gate } from './gate.ts';
import { Ledger } from './ledger.ts';
import { Pause, Pauses } from './pauses.ts';
import { tellDifferences } from './server-source.ts';
import type { LinkHost } from './server-source.ts';
import { dropsStatements } from './command-tags.ts';
import { ServerLink } from './server-link.ts';
import { SharedStatements } from './shared-statements.ts';
import { StatementLog } from './statement-log.ts';
import { boundary, stateOf } from './transaction-boundary.ts';
import { UnlinkedMessages } from './unlinked-messages.ts';

/** One per session; ends once, and then `done` resolves. */
export class Relay {
  readonly done: Promise<RelayEnd>;
  readonly #options: RelayOptions;
  readonly #ledger: Ledger;
  readonly #link: ServerLink;
  readonly #pauses: Pauses;
  readonly #gate: Gate;
  readonly #fromClient: FromClient;
  readonly #fromServer: FromServer;
  readonly #ending: Ending;
  #state: SessionState = 'idle';
  #notices: Buffer[] = [];

  constructor(options: RelayOptions) {
    this.#options = options;
    const { client, source } = options;
    const ledger = new Ledger(options.tally);
    this.#ledger = ledger;
    this.#pauses = new Pauses(client);
    const log = options.statement && new StatementLog(options.statement);
    const link = this.#makeLink();
    this.#link = link;
    const pin = (why: string): void => link.pin(why);
    const leavesState = (): void => void (link.dirty = true);
    const shared = source && new SharedStatements({ link, ledger, source, pin, leavesState });
    const betweenTransactions = (): boolean => boundary(this.#ending.state, 'next message').free;
    const gate = new Gate({
      ...options,
      ledger,
      log,
      shared,
      betweenTransactions,
      parameter: (name) => (link.server ?? source)?.parameters.get(name),
      flush: () => {
        ledger.flush();
        link.write(FLUSH);
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
      unlinked: () => link.state !== 'linked' || (link.settingsOutdated && betweenTransactions()),
      unlinkedMessages: new UnlinkedMessages({ ledger, gate, link }),
      walked: settled,
      toServer: (bytes) => {
        if (!link.write(bytes)) this.#pauses.add(Pause.full);
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
      completed: (source ?? options.refresh) && ((tag) => this.#completed(tag, shared)),
      toClient: (bytes) => {
        if (!client.write(bytes)) link.halt();
      },
      refusedWrite: () => link.server && options.refusedWrite?.(link.server),
      parameter: (body) => link.reported(readParameterStatus(body)),
      masked: (server_sqlstate, { sqlstate }) =>
        options.log.info({ sqlstate, server_sqlstate }, 'statement refused'),
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
    const parts = { ...streams, ledger, gate, link, pauses: this.#pauses };
    this.#ending = new Ending({ ...parts, client, log: options.log, ended });
  }

  /** Takes over both channels; ReadyForQuery has been sent to the client. */
  start(): void {
    const { client } = this.#options;
    if (this.#ending.decided) return;
    client.listen({
      bytes: (chunk) => this.#fromClient.receive(chunk),
      drained: () => {
        this.#link.resume();
        this.#pauses.remove(Pause.unread, this.#ending.decided);
      },
      closed: () => this.#ending.clientLost(),
    });
    this.#link.listen({
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

  /** Settings of policies have other values now: they are set before the client's next message. */
  refresh(): void {
    this.#link.outdateSettings();
  }

  get state(): SessionState {
    return this.#state;
  }

  /** A COPY failed in a way that hides which answers are outstanding: the session goes on, its connection ends with it. */
  get uncertain(): boolean {
    return this.#ledger.spoilt;
  }

  /** Ends the session with FATAL `error` at the next message boundary, or at once; a running statement is cancelled. */
  end(error: GatewayError, atOnce = false): void {
    this.#ending.speak(error, atOnce ? 'now' : 'border', 'ended');
  }

  /** Ends the session with FATAL `error` as soon as it is idle. */
  drain(error: GatewayError): void {
    this.#ending.speak(error, 'idle', 'drained');
  }

  /** Sends a NoticeResponse at the next message boundary. */
  notice(message: string, hint?: string): void {
    this.#notices.push(noticeResponse({ severity: 'NOTICE', code: '00000', message, hint }));
    this.#settled();
  }

  /**
   * The client's CancelRequest: cancels the running statement, or else the wait for a hook; resolves when it can no
   * longer hit another statement.
   */
  async cancel(): Promise<void> {
    const canceled = new GatewayError('query_canceled', 'canceling statement due to user request');
    if (this.#link.cancel(canceled)) return;
    const { uncertain, endsReady } = this.#ledger;
    if (this.#ending.decided || uncertain?.probing || (!endsReady && this.#gate.cancel())) return;
    if (boundary(this.#ending.state, 'cancel').free) return;
    await this.#ending.cancel();
    this.#settled();
  }

  #makeLink(): ServerLink {
    const { client, server, source, refresh, log, fault } = this.#options;
    const host: LinkHost = {
      linked: (next) => {
        this.#ledger.changed();
        if (source) tellDifferences(source.parameters, next, (bytes) => client.write(bytes));
      },
      resumed: (error) => this.#fromClient.resumed(error === undefined ? undefined : fault(error)),
      pinned: (why) => log.info({ why }, 'the server connection stays with the session'),
      lost: () => this.#ending.serverLost(),
    };
    return new ServerLink({ host, first: server, source, refresh });
  }

  #completed(tag: string, shared: SharedStatements | undefined): void {
    if (dropsStatements(tag)) shared?.forgetAll();
    this.#link.completed(tag, this.#ledger.headNote?.harmless === true);
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
    this.#checkIn();
  }

  #checkIn(): void {
    if (this.#link.state !== 'linked' || !this.#options.source) return;
    const at = boundary(this.#ending.state, 'check-in');
    if (at.free) this.#link.checkIn(at.server);
  }

  #speak(): void {
    while (this.#ledger.localDue) this.#say(this.#ledger.takeLocal());
    for (const notice of this.#notices.splice(0)) this.#say(notice);
  }

  /** Writes to the client. While it does not read the gateway's answers, no more of its messages are read. */
  #say(bytes: Buffer): void {
    if (!this.#options.client.write(bytes)) this.#pauses.add(Pause.unread);
  }

  /** See the ledger's `uncertain`: closes a name that no statement has; the answer shows where the client's answers end. */
  #probe(): void {
    const { uncertain } = this.#ledger;
    if (uncertain?.wantsProbe && this.#fromClient.position === 'boundary' && !this.#ending.cancelling) {
      this.#pauses.add(Pause.probe);
      this.#link.write(uncertain.probe());
    } else if (this.#pauses.has(Pause.probe) && !uncertain?.probing) {
      this.#pauses.remove(Pause.probe, this.#ending.decided);
    }
  }

  #showState(): void {
    const state = this.#restful && !this.#fromClient.waiting ? stateOf(this.#ledger.status) : 'active';
    if (state === this.#state) return;
    this.#state = state;
    this.#options.stateChanged(state);
  }
}
