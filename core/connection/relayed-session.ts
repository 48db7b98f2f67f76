/** A session while its bytes are relayed: the options of its relay, and the steps after the relay's end. */
import { asGatewayError } from '../client/refuse.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Events } from '../contract/events.ts';
import type { CancelKey } from './cancel-keys.ts';
import type { GatewayContext } from './gateway-context.ts';
import type { Channel } from '../net/channel.ts';
import type { RelayEnd } from '../relay/session-end.ts';
import { Relay } from '../relay/relay.ts';
import type { RelayOptions } from '../relay/relay-options.ts';
import type { ServerSource } from '../relay/server-source.ts';
import type { Reads } from '../relay/statements/statement-texts.ts';
import type { StatementEnd } from '../relay/statements/statement-observer.ts';
import type { KnownFunctions } from '../relay/session-state-detection.ts';
import type { SessionCounters } from '../relay/requests/outstanding-requests.ts';
import type { CloseReason, Logger, SessionState } from '../contract/session.ts';
import type { Statement } from '../contract/statement.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import type { SchemaChanges } from '../upstream/schema-changes.ts';
import { applyAgain } from '../upstream/settings.ts';
import { closeSession } from './session-close.ts';
import type { Login } from './login.ts';
import type { SessionContext } from './session-context.ts';

type StatementEvent = { -readonly [K in keyof Events['statement']]: Events['statement'][K] };

/**
 * One per session. It stays in memory while the session is idle: therefore it has methods, and makes functions of its own only
 * where a plugin has to be called.
 */
export class RelayedSession implements RelayOptions {
  readonly relay: Relay;
  readonly key: CancelKey;
  readonly query: RelayOptions['query'];
  readonly statement: RelayOptions['statement'];
  readonly refresh: RelayOptions['refresh'];
  readonly #sessionContext: SessionContext;
  readonly #login: Login;
  readonly #context: GatewayContext;
  /** Calls of hooks that have not ended. */
  #runningHooks: Set<Promise<unknown>> | undefined;

  constructor(sessionContext: SessionContext, login: Login, context: GatewayContext) {
    this.#sessionContext = sessionContext;
    this.#login = login;
    this.#context = context;
    const { session, hooks, replication } = sessionContext;
    const { upstream, startup } = session;
    const { query, observed } = hooks;
    const { server, source } = login;
    if (query) this.query = (message: Statement) => this.#tracked(query(session, message));
    if (observed.statement) this.statement = (end) => this.#ended(end);
    // In transaction mode it may have a connection with other defaults than those of its login.
    const hasSettings =
      upstream && (source || upstream.onCheckout.length > 0 || Object.keys(startup.parameters).length > 0);
    // RESET returns to the values of a replication connection by itself: they are in its startup packet.
    if (hasSettings && replication === undefined) {
      const follows = source?.parameters;
      this.refresh = (on, afterReset) => applyAgain(on, { upstream, startup, follows }, afterReset);
    }
    this.relay = new Relay(this);
    // In transaction mode the server process changes: its id would later belong to another session.
    const processId = source || !server || server.pid <= 0 ? undefined : server.pid;
    this.key = context.cancelKeys.issue(sessionContext.minor, this, processId);
  }

  get client(): Channel {
    return this.#sessionContext.reader.channel;
  }
  get server(): ServerConnection | undefined {
    return this.#login.server;
  }
  get source(): ServerSource | undefined {
    return this.#login.source;
  }
  get watches(): boolean {
    return this.#login.watches === true;
  }
  get functions(): KnownFunctions | undefined {
    return this.#login.functions;
  }
  get schema(): SchemaChanges {
    return this.#login.schema;
  }
  get counters(): SessionCounters {
    return this.#login.usage.counters;
  }
  get log(): Logger {
    return this.#sessionContext.session.log;
  }
  get reads(): Reads {
    return this.#sessionContext.hooks.reads;
  }
  get statementsFrom(): string | undefined {
    return this.#sessionContext.hooks.statementsFrom;
  }
  get maxStatementBytes(): number {
    return this.#context.config.maxStatementBytes;
  }

  refusedWrite(server: ServerConnection): void {
    this.#login.pool.refusedWrite(server);
  }

  inBand(name: string, value: string): Promise<void> {
    return this.#tracked(this.#answerInBand(name, value));
  }

  fault(thrown: unknown): GatewayError {
    return asGatewayError(thrown, this.log);
  }

  stateChanged(state: SessionState): void {
    const { session } = this.#sessionContext;
    session.changed(state);
    this.#login.usage.changed(state, session.changedAt);
  }

  /** The client's CancelRequest. */
  cancel(): Promise<void> {
    return this.#login.usage.canceling(() => this.relay.cancel());
  }

  /** The relay has ended, and no cancel can hit its server connection any more. */
  ended(end: RelayEnd): void {
    const { server, source, pool } = this.#login;
    this.#context.cancelKeys.revoke(this.key);
    this.#sessionContext.session.conclude(this.#reasonFor(end.reason));
    // The pool counts the connection until the server has closed it; the session need not wait for that.
    if (server && !source) void pool.release(server, end.server);
    void this.#closeSession();
  }

  /** The client does not wait for running hooks; onClose does. */
  async #closeSession(): Promise<void> {
    if (this.#runningHooks?.size) await Promise.allSettled(this.#runningHooks);
    return closeSession(this.#sessionContext, this.#context);
  }

  /** While the whole gateway drains the reason is `drained`, whether the session ended by itself or at the deadline. */
  #reasonFor(reason: CloseReason): CloseReason {
    if (reason.kind !== 'ended' && reason.kind !== 'drained') return reason;
    return { kind: this.#context.draining ? 'drained' : 'ended', error: reason.error };
  }

  /** Puts the session and its server into the record of the relay, which is the same one for most statements. */
  #ended(end: StatementEnd): void {
    const event = end as StatementEvent;
    const { session, hooks } = this.#sessionContext;
    const { server } = this.#login.usage;
    event.session = session;
    if (server) event.host = server.host;
    if (server?.port !== undefined) event.port = server.port;
    else if ('port' in event) delete event.port;
    hooks.observed.statement?.(event);
  }

  #tracked<T>(work: T): T {
    if (!(work instanceof Promise)) return work;
    const runningHooks = (this.#runningHooks ??= new Set());
    const over = (): void => void runningHooks.delete(work);
    runningHooks.add(work);
    work.then(over, over);
    return work;
  }

  async #answerInBand(name: string, value: string): Promise<void> {
    const { session, hooks } = this.#sessionContext;
    const answer = hooks.inBand.get(name);
    if (!answer) {
      throw new GatewayError('invalid_parameter_value', `unrecognized configuration parameter "${name}"`);
    }
    try {
      await answer(session, value);
    } catch (error) {
      throw asGatewayError(error, session.log);
    }
  }
}
