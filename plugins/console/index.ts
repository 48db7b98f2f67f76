/** The PgBouncer-compatible admin console: a database that only operators can open, and that no server is behind. */
import { GatewayError, TOKEN_CREDENTIALS, readObject, readText } from '../../core/index.ts';
import type {
  AnsweredConnection,
  AnsweredDatabase,
  Credential,
  GatewayHandle,
  GatewayServices,
  Identity,
  LoginSession,
  Plugin,
  Session,
} from '../../core/index.ts';
import { Dialogue } from './dialogue.ts';
import { Extended } from './extended.ts';
import { Parameters } from './parameters.ts';
import { Running } from './running.ts';
import { Transaction } from './transaction.ts';

/** Options of `console()`. */
export interface ConsoleOptions {
  /**
   * The name of the database that is the console.
   *
   * @defaultValue `'pgbouncer'`, where PgBouncer's exporter and dashboards look
   * @reload new sessions
   * @example database: 'operators'
   */
  readonly database?: string;
}

type Services = Pick<GatewayServices, 'operators' | 'operations' | 'overview'>;

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

/** @throws GatewayError for anybody but an operator */
async function admit(session: LoginSession, { operators }: Services): Promise<Identity> {
  if (!TOKEN_CREDENTIALS.some((one) => one === session.credential)) throw noToken(session.credential);
  const found = await operators.check(await session.token());
  if ('identity' in found) return found.identity;
  throw new GatewayError('invalid_authorization_specification', 'the token does not open this database', {
    cause: new Error(`the console is for operators: ${found.why}`),
  });
}

async function serve(
  session: Session<'identity'>,
  connection: AnsweredConnection,
  { operations, overview }: Services,
): Promise<void> {
  const { startup, facts, signal } = session;
  const parameters = new Parameters(startup, overview.version);
  const [transaction, extended] = [new Transaction(), new Extended()];
  const processId = connection.open(parameters.reported, () => running.cancel());
  const running = new Running(signal, {
    overview,
    operations,
    operator: { identity: facts.identity, via: 'console' },
    parameters,
    transaction,
    statements: extended,
    database: startup.database,
    processId,
  });
  const run = running.run.bind(running);
  await new Dialogue({ connection, transaction, extended, run }).run();
}

/**
 * The PgBouncer-compatible admin console: a database on the ordinary listeners that only operators open, with PgBouncer's commands and columns. It needs
 * `admin.operators` in the config.
 *
 * @place 15 anywhere in the list
 * @throws ConfigError that names the option
 * @example console({ database: 'operators' })
 */
export function console(options: ConsoleOptions = {}): Plugin<never, never, 'console'> {
  const { database = 'pgbouncer' } = readObject<ConsoleOptions>('console', options, ['database']);
  const name = readText('console.database', database);
  let services: Services | undefined;
  const ready = (): Services => {
    if (!services) throw new Error('console() has not been set up');
    return services;
  };
  const answered: AnsweredDatabase = {
    credentials: TOKEN_CREDENTIALS,
    operators: true,
    admit: (session) => admit(session, ready()),
    serve: (session, connection) => serve(session, connection, ready()),
  };
  return {
    name: 'console',
    options,
    databases: { [name]: answered },
    setup(gateway: GatewayHandle) {
      const [operators, operations] = [gateway.service('operators'), gateway.service('operations')];
      services = { operators, operations, overview: gateway.service('overview') };
    },
  };
}
