/** A session of the console, from the check of its operator to its end. It never gets a server connection. */
import { asGatewayError } from '../client/refuse.ts';
import { isToken } from '../credential.ts';
import type { Credential } from '../credential.ts';
import { GatewayError } from '../errors.ts';
import type { Identity } from '../facts.ts';
import type { Answer, Command, Desk } from '../gateway/console/command.ts';
import { Dialogue } from '../gateway/console/dialogue.ts';
import { Extended } from '../gateway/console/extended.ts';
import { Parameters } from '../gateway/console/parameters.ts';
import { Transaction } from '../gateway/console/transaction.ts';
import type { GatewayContext } from '../gateway/gateway-context.ts';
import { askToken } from './credential.ts';
import { loginResponse } from './session-start.ts';
import { tellLogin } from './session-log.ts';
import type { CloseReason } from '../session.ts';
import { noticeResponse, refusal } from '../wire/to-client.ts';
import { Usage } from './usage.ts';
import type { SessionContext } from './session-context.ts';

/** Whether a session asks for the console. */
export function asksForConsole({ session }: SessionContext, { config }: GatewayContext): boolean {
  return session.startup.database === config.admin?.console;
}

/**
 * Logs an operator in, after the `onStartup` of plugins and their checks of the identity. The token, and then the operator, are
 * checked as by the HTTP interface.
 * @throws GatewayError to refuse; what hooks throw; ClientGone
 */
export async function logInToConsole(
  sessionContext: SessionContext,
  context: GatewayContext,
): Promise<Identity> {
  const { session, exchange, hooks, replication } = sessionContext;
  await hooks.startup(session, session.sessionFacts);
  if (!isToken(session.credential)) throw noToken(session.credential);
  const found = await context.operators.check(await askToken(session, exchange));
  if ('why' in found) {
    throw new GatewayError('invalid_authorization_specification', 'the token does not open this database', {
      cause: new Error(`the console is for operators: ${found.why}`),
    });
  }
  const { identity } = found;
  if (replication !== undefined)
    throw new GatewayError('feature_not_supported', 'replication connections are not supported');
  session.establish('identity', identity);
  await hooks.check(session, session.sessionFacts);
  session.endAt(identity.expiresAt, EXPIRED);
  return identity;
}

/** A listener takes what its config says, from operators as well. */
function noToken(credential: Credential): GatewayError {
  const hint = 'Connect where the gateway takes tokens.';
  return new GatewayError('invalid_authorization_specification', 'this database is opened by a token', {
    hint,
    cause: new Error(
      `the console is for operators, who come with a token: this client is asked for '${credential}'`,
    ),
  });
}

const EXPIRED = new GatewayError('admin_shutdown', 'the token has expired', {
  hint: 'Connect again with a fresh token as the password.',
});

const STATES = {
  I: 'idle',
  T: 'idle in transaction',
  E: 'idle in transaction (aborted)',
} as const;

/** Answers commands until the session is over. */
export async function serveConsole(
  sessionContext: SessionContext,
  identity: Identity,
  context: GatewayContext,
): Promise<void> {
  const { session, reader, minor } = sessionContext;
  const { channel } = reader;
  const name = session.startup.database;
  const usage = context.statistics.enter(new Usage(session, name, name, channel));
  const key = context.cancelKeys.issue(minor, { cancel: () => running.cancel() });
  const parameters = new Parameters(session.startup.parameters, session.startup.user);
  usage.parameters = parameters.all;
  const [transaction, extended] = [new Transaction(), new Extended()];
  const { overview, operations } = context;
  const operator = { identity, via: 'console' } as const;
  const running = new Running(session.signal, {
    overview,
    operations,
    operator,
    parameters,
    transaction,
    statements: extended,
    database: name,
    processId: key.processId,
  });
  const end = (error: GatewayError): void => {
    session.conclude({ kind: context.draining ? 'drained' : 'ended', error });
    channel.finish(refusal('FATAL', error));
  };
  const fault = (thrown: unknown): GatewayError => asGatewayError(thrown, session.log);
  const dialogue = new Dialogue({
    reader,
    transaction,
    extended,
    fault,
    run: (command) => running.run(command),
    get over() {
      return session.reason !== undefined;
    },
    busy(is) {
      session.changed(is ? 'active' : STATES[transaction.status]);
      usage.changed(session.state, session.stateSince);
      if (!is) usage.counters.ready(transaction.status === 'I');
    },
  });
  channel.cutOffWhenStalled();
  channel.write(loginResponse(parameters.reported, key));
  session.attach({
    end,
    drain: end,
    refresh() {},
    notice: (message, hint) =>
      void channel.write(noticeResponse({ severity: 'NOTICE', code: '00000', message, hint })),
  });
  session.changed('idle');
  tellLogin(session, sessionContext.hooks);
  const reason = await dialogue.run().then<CloseReason, CloseReason>(
    () => ({ kind: 'client' }),
    (thrown: unknown) => {
      if (thrown instanceof GatewayError) end(thrown);
      return { kind: 'lost' };
    },
  );
  context.cancelKeys.revoke(key);
  session.conclude(reason);
}

/** The running command, which a cancel ends. */
class Running {
  readonly #left: AbortSignal;
  readonly #desk: Omit<Desk, 'signal' | 'left'>;
  #now: AbortController | undefined;

  constructor(left: AbortSignal, desk: Omit<Desk, 'signal' | 'left'>) {
    this.#left = left;
    this.#desk = desk;
  }

  async run(command: Command): Promise<Answer> {
    const now = new AbortController();
    this.#now = now;
    const left = this.#left;
    try {
      return await command.run({ ...this.#desk, left, signal: AbortSignal.any([now.signal, left]) });
    } finally {
      this.#now = undefined;
    }
  }

  cancel(): Promise<void> {
    const hint = 'What a PAUSE has paused stays so: RESUME takes it back.';
    const canceled = new GatewayError('query_canceled', 'canceling statement due to user request', { hint });
    this.#now?.abort(canceled);
    return Promise.resolve();
  }
}
