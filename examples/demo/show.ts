/** What the demo shows: a query through the gateway, a refusal, and the line to paste. */
import { SqlConnection, SqlError } from './sql-connection.ts';

/** What there is to show. */
export interface Scene {
  /** Where the database is. */
  readonly database: string;
  /** Where the gateway listens on 127.0.0.1. */
  readonly port: number;
  /** The usual port, where it was taken. */
  readonly instead: number | undefined;
  /** File of the gateway's log, unless it is on the screen. */
  readonly log: string | undefined;
  readonly token: string;
  readonly tokenFile: string;
  /** The same claims, signed by somebody else. */
  readonly forged: string;
}

const COLUMNS = ['session_user', 'current_user', 'orders', 'total'];
const QUERY = 'select session_user, current_user, count(*) as orders, sum(amount) as total from orders';
const FORBIDDEN = "insert into orders values (4, 'Mallory', 1)";

const say = (...lines: readonly string[]): void => {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''));
};

function table(rows: readonly (readonly (string | null)[])[]): string[] {
  return [COLUMNS, ...rows].map(
    (row) => `  ${row.map((value, i) => (value ?? '').padEnd(COLUMNS[i]?.length ?? 0)).join(' | ')}`,
  );
}

/** Runs what must be refused. @throws Error if it was not: the demo may not claim what it has not seen */
async function refusal(attempt: () => Promise<unknown>): Promise<string> {
  try {
    await attempt();
  } catch (error) {
    if (error instanceof SqlError) return `  ${error.severity}  ${error.sqlstate}: ${error.message}`;
    throw error;
  }
  throw new Error('it was not refused');
}

/** Connects through the gateway and prints what happened. @throws Error if something did not happen as it should */
export async function show({ database, port, instead, log, token, tokenFile, forged }: Scene): Promise<void> {
  say(
    '',
    `  database  ${database}`,
    `  gateway   127.0.0.1 port ${port}, config examples/demo/gateway.config.ts`,
  );
  if (instead !== undefined) say(`            (port ${instead} is taken: this one was free)`);
  if (log !== undefined) say(`  log       ${log}`);

  const client = { user: '_', database: 'demo' };
  const connection = await SqlConnection.throughGateway(port, { ...client, password: token });
  try {
    say(
      '',
      'A client logs in through the gateway. Its password is a token that says {"sub":"ada","role":"reader"}:',
      `  ${QUERY}`,
    );
    say(...table(await connection.rows(QUERY)));
    say(
      '',
      'PostgreSQL sees the role that the token names, and what that role may not do:',
      `  ${FORBIDDEN}`,
    );
    say(await refusal(() => connection.rows(FORBIDDEN)));
  } finally {
    connection.close();
  }
  say('', 'A token with the same words, signed by somebody else, does not reach PostgreSQL:');
  say(await refusal(() => SqlConnection.throughGateway(port, { ...client, password: forged })));

  say('', 'Try it; the token is valid for an hour:');
  say(`  PGPASSWORD=$(cat ${tokenFile}) psql 'host=127.0.0.1 port=${port} user=_ dbname=demo'`);
  say('', 'Running until Ctrl-C');
}
