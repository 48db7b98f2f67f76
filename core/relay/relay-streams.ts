/** The two streams of a relay and the parts between them. One object is the host of all parts. */
import { GatewayError } from '../errors.ts';
import type { Channel } from '../net/channel.ts';
import type { Logger } from '../session.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import { readParameterStatus } from '../wire/backend.ts';
import { FLUSH } from '../wire/to-server.ts';
import { dropsStatements } from './command-tags.ts';
import { Ending } from './ending.ts';
import type { EndingParts, RelayEnd } from './ending.ts';
import type { FromClientHost } from './from-client-host.ts';
import { FromClient } from './from-client.ts';
import { FromServer } from './from-server.ts';
import type { FromServerHost } from './from-server.ts';
import type { GateHost } from './gate-options.ts';
import { Gate } from './gate.ts';
import { Ledger } from './ledger.ts';
import { WATCHED_STATEMENTS, commandLeavesState, messageLeavesState } from './left-state.ts';
import { Pause, Pauses } from './pauses.ts';
import type { RelayOptions } from './relay-options.ts';
import { ServerLink } from './server-link.ts';
import { tellDifferences } from './server-source.ts';
import type { LinkHost, ServerSource } from './server-source.ts';
import type { SharedStatementsHost } from './parses.ts';
import { SharedStatements } from './shared-statements.ts';
import { StatementLog } from './statement-log.ts';
import { boundary } from './transaction-boundary.ts';
import { UnlinkedMessages } from './unlinked-messages.ts';

/** An idle session keeps all of this in memory: a part must have no closures and no objects that it does not need at rest. */
export abstract class RelayStreams
  implements FromClientHost, FromServerHost, GateHost, LinkHost, EndingParts
{
  readonly client: Channel;
  readonly source: ServerSource | undefined;
  readonly ledger: Ledger;
  readonly link: ServerLink;
  readonly pauses: Pauses;
  readonly statements: StatementLog | undefined;
  readonly shared: SharedStatements | undefined;
  readonly gate: Gate;
  readonly fromClient: FromClient;
  readonly fromServer: FromServer;
  readonly unlinkedMessages: UnlinkedMessages;
  readonly ending: Ending;
  protected readonly options: RelayOptions;
  #statements = 0;

  constructor(options: RelayOptions) {
    const { client, server, source, refresh, statement } = options;
    this.options = options;
    this.client = client;
    this.source = source;
    this.ledger = new Ledger(options.tally);
    this.pauses = new Pauses(client);
    this.statements = statement && new StatementLog(statement);
    this.link = new ServerLink({
      host: this,
      first: server,
      source,
      refresh,
      watched: options.watches === true,
    });
    this.shared = movesBetweenServers(this) ? new SharedStatements(this) : undefined;
    this.gate = new Gate(this, options);
    this.fromClient = new FromClient(this);
    this.fromServer = new FromServer(this);
    this.unlinkedMessages = new UnlinkedMessages(this);
    this.ending = new Ending(this);
  }

  /** Called after every step: does whatever has become possible. */
  abstract settled(): void;
  /** Ends the session with FATAL `error` at the next message boundary. */
  abstract end(error: GatewayError): void;
  abstract ended(end: RelayEnd): void;

  get log(): Logger {
    return this.options.log;
  }

  // ---- called by prepared statements ----

  pin(why: string): void {
    this.link.pin(why);
  }

  leavesState(): void {
    this.link.dirty = true;
  }

  // ---- called by the link ----

  linked(next: ServerConnection): void {
    this.ledger.changed();
    if (this.source) tellDifferences(this.source.parameters, next, (bytes) => this.client.write(bytes));
  }

  resumed(error?: unknown): void {
    this.fromClient.resumed(error === undefined ? undefined : this.options.fault(error));
  }

  pinned(why: string): void {
    this.log.info({ why }, 'the server connection stays with the session');
  }

  // ---- called by the stream from the client ----

  unlinked(): boolean {
    return this.link.state !== 'linked' || (this.link.settingsOutdated && this.betweenTransactions());
  }

  /** In session mode: the session may have left nothing on its connection so far. */
  get watched(): boolean {
    return this.source === undefined && !this.link.dirty && this.options.watches === true;
  }

  sends(type: number, frame: Buffer): void {
    if (!this.watched) return;
    this.#statements += 1;
    if (this.#statements > WATCHED_STATEMENTS || messageLeavesState(type, frame)) this.link.dirty = true;
  }

  toServer(bytes: Buffer, from = 0, to = bytes.length): void {
    if (!this.link.write(bytes, from, to)) this.pauses.add(Pause.full);
  }

  held(waiting: boolean): void {
    if (waiting) this.pauses.add(Pause.held);
    else this.pauses.remove(Pause.held, this.ending.decided);
    this.settled();
  }

  terminated(): void {
    this.ending.terminated();
  }

  violated(error: GatewayError): void {
    this.ending.speak(error, 'answered', 'ended');
  }

  failed(error: unknown): void {
    const known = error instanceof GatewayError;
    const text = 'the gateway failed to read a message';
    this.end(known ? error : new GatewayError('internal_error', text, { cause: error }));
  }

  clientDrained(): void {
    this.link.resume();
    this.pauses.remove(Pause.unread, this.ending.decided);
  }

  clientLost(): void {
    this.ending.clientLost();
  }

  // ---- called by the stream from the server ----

  get readsTags(): boolean {
    return this.source !== undefined || this.options.refresh !== undefined || this.watched;
  }

  completed(tag: string): void {
    if (dropsStatements(tag)) this.shared?.forgetAll();
    if (this.watched && commandLeavesState(tag)) this.link.dirty = true;
    this.link.completed(tag, this.ledger.headNote?.harmless === true);
  }

  toClient(bytes: Buffer, from = 0, to = bytes.length): void {
    if (!this.client.writeCopy(bytes, from, to)) this.link.halt();
  }

  refusedWrite(): void {
    if (this.link.server) this.options.refusedWrite?.(this.link.server);
  }

  reported(body: Buffer): void {
    // Not always by a SET: a function may have set it.
    if (this.watched) this.link.dirty = true;
    this.link.reported(readParameterStatus(body));
  }

  masked(server_sqlstate: string, { sqlstate }: GatewayError): void {
    this.log.info({ sqlstate, server_sqlstate }, 'statement refused');
  }

  broken(why: string): void {
    this.ending.serverBroke(why);
  }

  serverDrained(): void {
    this.pauses.remove(Pause.full, this.ending.decided);
    this.settled();
  }

  serverLost(): void {
    this.ending.serverLost();
  }

  // ---- called by the gate ----

  betweenTransactions(): boolean {
    return boundary(this, 'next message').free;
  }

  parameter(name: string): string | undefined {
    return (this.link.server ?? this.source)?.parameters.get(name);
  }

  flush(): void {
    this.ledger.flush();
    this.link.write(FLUSH);
  }

  unplaceable(error: GatewayError): void {
    this.fromClient.stop();
    this.end(error);
  }
}

/** Only such sessions share prepared statements. */
function movesBetweenServers(streams: RelayStreams): streams is RelayStreams & SharedStatementsHost {
  return streams.source !== undefined;
}
