/** A client of a gateway under test: node-postgres, with rows and errors as tests look at them. */
/// <reference lib="esnext.disposable" preserve="true" />
import type { Client } from 'pg';
import { ConfigError } from '../contract/errors.ts';

/** A row, by the names of its columns. */
export type TestRow = Readonly<Record<string, unknown>>;

/** Where to log in, and as whom. */
export interface TestLogin {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** `options` of the startup packet. */
  readonly options?: string | undefined;
}

/** The fields of an ErrorResponse. */
interface Sent {
  readonly message: string;
  readonly code?: string | undefined;
  readonly severity?: string | undefined;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

/** An error that the gateway or PostgreSQL has sent: refused logins and failed statements. */
export class SqlError extends Error {
  override readonly name = 'SqlError';
  /** Five characters (PostgreSQL manual, Appendix A), such as `42501`. */
  readonly sqlstate: string;
  /** `ERROR`, or `FATAL` where the session is over. */
  readonly severity: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;

  constructor({ message, code = '', severity = '', detail, hint }: Sent) {
    super(message);
    this.sqlstate = code;
    this.severity = severity;
    this.detail = detail;
    this.hint = hint;
  }
}

/** A connection that is logged in. */
export interface TestClient extends AsyncDisposable {
  /**
   * Runs a statement: by the simple protocol, or by the extended one where there are values. Resolves with the rows, of several statements
   * those of the last one. @throws SqlError
   */
  query(sql: string, values?: readonly unknown[]): Promise<readonly TestRow[]>;
  /** The notices that have come so far. */
  readonly notices: readonly string[];
  /** Resolves when the session has ended, with the error that ended it; undefined where there was none. */
  readonly ended: Promise<SqlError | undefined>;
  /** Logs out. */
  end(): Promise<void>;
}

async function nodePostgres(): Promise<typeof Client> {
  try {
    return (await import('pg')).Client;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new ConfigError('postern/testing needs the package pg: npm install --save-dev pg');
  }
}

/** What was sent has an SQLSTATE; errors of the connection do not, and stay as they are. */
function told(error: unknown): unknown {
  const isSent = error instanceof Error && 'severity' in error && 'code' in error;
  return isSent ? new SqlError(error as Sent) : error;
}

class LoggedIn implements TestClient {
  readonly notices: string[] = [];
  readonly ended: Promise<SqlError | undefined>;
  readonly #client: Client;
  #fatal: SqlError | undefined;

  constructor(client: Client) {
    this.#client = client;
    client.on('notice', ({ message = '' }) => this.notices.push(message));
    client.on('error', (error: unknown) => void this.#told(error));
    this.ended = new Promise((resolve) => client.on('end', () => resolve(this.#fatal)));
  }

  async query(sql: string, values?: readonly unknown[]): Promise<readonly TestRow[]> {
    try {
      const results = await (values ? this.#client.query(sql, [...values]) : this.#client.query(sql));
      return ([results].flat().at(-1)?.rows ?? []) as TestRow[];
    } catch (error) {
      throw this.#told(error);
    }
  }

  end(): Promise<void> {
    return this.#client.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.end();
  }

  /** One that ends the session comes as the answer to a statement where one is under way. */
  #told(error: unknown): unknown {
    const said = told(error);
    if (said instanceof SqlError && said.severity !== 'ERROR') this.#fatal ??= said;
    return said;
  }
}

/** Logs in. @throws SqlError where that is refused; ConfigError without node-postgres */
export async function logIn(login: TestLogin): Promise<TestClient> {
  const Made = await nodePostgres();
  const client = new Made({ ...login, options: login.options ?? '' });
  const loggedIn = new LoggedIn(client);
  try {
    await client.connect();
    return loggedIn;
  } catch (error) {
    throw told(error);
  }
}
