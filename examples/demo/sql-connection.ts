/** As much of a PostgreSQL client as the demo needs: log in, run one statement at a time, leave. */
import type { Channel } from '../../core/net/channel.ts';
import { connectShared } from '../../core/net/shared-read.ts';
import { Conversation, errorIn, unexpected } from '../../core/upstream/conversation.ts';
import { dial } from '../../core/upstream/dial.ts';
import type { Server } from '../../core/upstream/hosts/endpoint.ts';
import { login } from '../../core/upstream/login.ts';
import { execute } from '../../core/upstream/query.ts';
import type { TextRow } from '../../core/upstream/query.ts';
import { readAuthentication } from '../../core/wire/backend.ts';
import type { ServerError } from '../../core/wire/backend.ts';
import { Backend } from '../../core/wire/frames.ts';
import { encodeStartup } from '../../core/wire/greeting.ts';
import { TERMINATE, encodePassword } from '../../core/wire/to-server.ts';

/** Who logs in, and where to. */
export interface Credentials {
  readonly user: string;
  readonly database: string;
  readonly password: string;
}

/** The other side answered with an ErrorResponse. */
export class SqlError extends Error {
  override readonly name = 'SqlError';
  readonly severity: string;
  /** Five characters (manual, Appendix A). */
  readonly sqlstate: string;

  constructor({ severity, code, message }: ServerError) {
    super(message);
    this.severity = severity;
    this.sqlstate = code;
  }
}

/** How long any one step may take, in milliseconds. */
const STEP_MS = 15_000;

/** A connection that is logged in. */
export class SqlConnection {
  readonly #channel: Channel;
  readonly #talk: Conversation;

  private constructor(channel: Channel, talk: Conversation) {
    this.#channel = channel;
    this.#talk = talk;
  }

  /** Logs in to PostgreSQL itself, the way the gateway does it. @throws GatewayError whose cause says what failed */
  static async direct(server: Server, { user, database, password }: Credentials): Promise<SqlConnection> {
    const signal = new AbortController().signal;
    const dialed = await dial(server, signal);
    const talk = new Conversation(dialed.channel, signal);
    const startup = [['user', user] as const, ['database', database] as const];
    try {
      await login(talk, { startup, credentials: { kind: 'password', user, password }, peer: dialed });
    } catch (error) {
      dialed.channel.destroy();
      throw error;
    }
    return new SqlConnection(dialed.channel, talk);
  }

  /** Logs in through a gateway on loopback: the password is the token, and goes over in the clear. @throws SqlError */
  static async throughGateway(
    port: number,
    { user, database, password }: Credentials,
  ): Promise<SqlConnection> {
    const channel = connectShared({ host: '127.0.0.1', port });
    const talk = new Conversation(channel, AbortSignal.timeout(STEP_MS));
    talk.send(encodeStartup([['user', user] as const, ['database', database] as const]));
    try {
      for (;;) {
        const message = await talk.reply();
        const error = errorIn(message);
        if (error) throw new SqlError(error);
        if (message.type === Backend.readyForQuery) break;
        if (message.type === Backend.authentication) {
          const { kind } = readAuthentication(message.body);
          if (kind === 'cleartext') talk.send(encodePassword(password));
          else if (kind !== 'ok') throw unexpected(message);
        }
      }
    } catch (error) {
      channel.destroy();
      throw error;
    }
    return new SqlConnection(channel, talk);
  }

  /** Runs one statement; its rows in text form. @throws SqlError */
  async rows(sql: string): Promise<readonly TextRow[]> {
    const outcome = await execute(this.#talk, sql, [[]]);
    if ('error' in outcome) throw new SqlError(outcome.error);
    return outcome.rows;
  }

  /** Says Terminate and closes. */
  close(): void {
    this.#talk.end();
    this.#channel.finish(TERMINATE);
  }
}
