/** The objects of one session after login, between its two channels, and the calls among them. */
import { GatewayError } from '../contract/errors.ts';
import type { LeftState } from '../sql/left-state.ts';
import type { Channel } from '../net/channel.ts';
import type { Logger } from '../contract/session.ts';
import type { Parameters, ServerConnection } from '../upstream/connection.ts';
import { readParameterStatus } from '../wire/backend.ts';
import { FLUSH } from '../wire/to-server.ts';
import { dropsStatements } from './command-tags.ts';
import type { Functions, KnownFunctions } from './session-state-detection.ts';
import { SessionEnd } from './session-end.ts';
import type { RelayEnd, SessionEndParts } from './session-end.ts';
import type { FromClientHost } from './from-client.ts';
import { ClientPauses, FromClient, PauseReason } from './from-client.ts';
import { FromServer } from './from-server.ts';
import type { FromServerHost } from './from-server.ts';
import type { QueryHookHost } from './statements/query-hook.ts';
import { QueryHook } from './statements/query-hook.ts';
import { ObjectChanges } from './object-changes.ts';
import { OutstandingRequests } from './requests/outstanding-requests.ts';
import type { RelayOptions } from './relay-options.ts';
import { discardSequencesOfOthers, reportParameterChanges } from './linked-connection.ts';
import { ServerLink } from './server-link.ts';
import type { LinkHost } from './server-link.ts';
import type { ServerSource } from './server-source.ts';
import type { NamedSettings } from './settings/setting-names.ts';
import type { PreparedStatementsHost } from './prepared/parse.ts';
import { PreparedStatements } from './prepared/prepared-statements.ts';
import { StatementObserver } from './statements/statement-observer.ts';
import { boundary } from './transaction-boundary.ts';
import { UnlinkedMessages } from './unlinked-messages.ts';

/** An idle session keeps all of this in memory: a part must have no closures and no objects that it does not need at rest. */
export abstract class RelayStreams
  implements FromClientHost, FromServerHost, QueryHookHost, LinkHost, SessionEndParts
{
  readonly client: Channel;
  readonly source: ServerSource | undefined;
  readonly outstanding: OutstandingRequests;
  readonly link: ServerLink;
  readonly pauses: ClientPauses;
  readonly statements: StatementObserver | undefined;
  readonly prepared: PreparedStatements | undefined;
  readonly queryHook: QueryHook;
  readonly fromClient: FromClient;
  readonly fromServer: FromServer;
  readonly unlinkedMessages: UnlinkedMessages;
  readonly sessionEnd: SessionEnd;
  protected readonly options: RelayOptions;
  readonly objectChanges: ObjectChanges;

  constructor(options: RelayOptions) {
    const { client, server, source, refresh, statement } = options;
    this.options = options;
    this.client = client;
    this.objectChanges = new ObjectChanges(options.schema);
    this.source = source;
    this.outstanding = new OutstandingRequests(options.counters);
    this.pauses = new ClientPauses(client);
    this.statements = statement && new StatementObserver(statement);
    const watched = options.watches === true;
    this.link = new ServerLink({ host: this, first: server, source, refresh, watched });
    this.prepared = movesBetweenServers(this) ? new PreparedStatements(this) : undefined;
    this.queryHook = new QueryHook(this, options);
    this.fromClient = new FromClient(this);
    this.fromServer = new FromServer(this);
    this.unlinkedMessages = new UnlinkedMessages(this);
    this.sessionEnd = new SessionEnd(this);
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

  touches(named: NamedSettings | undefined): void {
    if (named) this.link.touch(named);
  }

  get functions(): KnownFunctions | undefined {
    return this.options.functions;
  }

  calls(left: LeftState, text?: string, catalog?: Functions): void {
    this.link.changes.calls(left, text, this.options.functions, catalog);
  }

  // ---- called by the link ----

  linked(next: ServerConnection): void {
    this.outstanding.changed();
    discardSequencesOfOthers(next, this.outstanding);
    if (this.source)
      reportParameterChanges(this.source.parameters, next, (bytes) => this.client.write(bytes));
  }

  resumed(error?: unknown): void {
    this.fromClient.resumed(error === undefined ? undefined : this.options.fault(error));
  }

  refreshed(server: ServerConnection, before: Parameters): void {
    reportParameterChanges(this.source?.parameters ?? before, server, (bytes) => this.client.write(bytes));
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
    return this.link.changes.watched;
  }

  sends(type: number, frame: Buffer): void {
    const { changes } = this.link;
    this.link.sends(type, frame);
    if (changes.watched) changes.sends(type, frame, this.functions?.catalog);
  }

  toServer(bytes: Buffer, from = 0, to = bytes.length): void {
    if (!this.link.write(bytes, from, to)) this.pauses.add(PauseReason.full);
  }

  held(waiting: boolean): void {
    if (waiting) this.pauses.add(PauseReason.held);
    else this.pauses.remove(PauseReason.held, this.sessionEnd.decided);
    this.settled();
  }

  terminated(): void {
    this.sessionEnd.terminated();
  }

  violated(error: GatewayError): void {
    this.sessionEnd.endWith(error, 'answered', 'ended');
  }

  failed(error: unknown): void {
    const known = error instanceof GatewayError;
    const text = 'the gateway failed to read a message';
    this.end(known ? error : new GatewayError('internal_error', text, { cause: error }));
  }

  clientDrained(): void {
    this.link.resume();
    this.pauses.remove(PauseReason.unread, this.sessionEnd.decided);
  }

  clientHalfClosed(): boolean {
    return this.sessionEnd.clientHalfClosed();
  }

  clientLost(): void {
    this.sessionEnd.clientLost();
  }

  // ---- called by the stream from the server ----

  get readsTags(): boolean {
    const { refresh, schema } = this.options;
    const isRead = this.source !== undefined || refresh !== undefined || this.functions !== undefined;
    return isRead || this.watched || schema?.used === true;
  }

  completed(tag: string): void {
    if (dropsStatements(tag)) this.prepared?.forgetAll();
    else if (tag === 'DEALLOCATE') this.prepared?.deallocated();
    this.objectChanges.completed(tag, this.link.pinned);
    this.link.completed(tag);
  }

  toClient(bytes: Buffer, from = 0, to = bytes.length): void {
    if (!this.client.writeCopy(bytes, from, to)) this.link.halt();
  }

  refusedWrite(): void {
    if (this.link.server) this.options.refusedWrite?.(this.link.server);
  }

  reported(body: Buffer): void {
    this.link.reported(readParameterStatus(body));
  }

  errorReplaced(server_sqlstate: string, { sqlstate }: GatewayError): void {
    this.log.info({ sqlstate, server_sqlstate }, 'statement refused');
  }

  broken(why: string): void {
    this.sessionEnd.serverBroke(why);
  }

  serverDrained(): void {
    this.pauses.remove(PauseReason.full, this.sessionEnd.decided);
    this.settled();
  }

  serverLost(): void {
    this.sessionEnd.serverLost();
  }

  // ---- called by the query hook ----

  betweenTransactions(): boolean {
    return boundary(this, 'next message').free;
  }

  parameter(name: string): string | undefined {
    return (this.link.server ?? this.source)?.parameters.get(name);
  }

  flush(): void {
    this.outstanding.flush();
    this.link.write(FLUSH);
  }

  unplaceable(error: GatewayError): void {
    this.fromClient.stop();
    this.end(error);
  }
}

/** Only such sessions share prepared statements. */
function movesBetweenServers(streams: RelayStreams): streams is RelayStreams & PreparedStatementsHost {
  return streams.source !== undefined;
}
