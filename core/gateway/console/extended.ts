/** The extended protocol in the console: statements and portals by name, without parameters (manual, 55.2.3). */
import { GatewayError } from '../../errors.ts';
import type { Target } from '../../wire/frontend.ts';
import { readBind, readClose, readDescribe, readExecute, readParse } from '../../wire/frontend.ts';
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  EMPTY_QUERY_RESPONSE,
  NO_DATA,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
  commandComplete,
  parameterDescription,
} from '../../wire/to-client.ts';
import { encodeAnswer, encodeNotice } from './answers.ts';
import { parseCommand } from './commands.ts';
import type { Answer, Command } from './commands.ts';
import { describeColumns, encodeRow } from './table.ts';

interface Portal {
  /** Undefined: an empty text. */
  readonly command: Command | undefined;
  answer?: Answer;
  /** Rows that have been sent. */
  sent: number;
}

/** Statements or portals that a session may have at once. */
const MOST = 100;

/** One per console session. Every method throws GatewayError to refuse. */
export class Extended {
  readonly #statements = new Map<string, Command | undefined>();
  readonly #portals = new Map<string, Portal>();

  parse(body: Buffer): Buffer {
    const { name, sql } = readParse(body);
    if (name !== '' && this.#statements.has(name)) {
      throw new GatewayError('duplicate_prepared_statement', `prepared statement "${name}" already exists`);
    }
    keep(this.#statements, name, parseCommand(sql));
    return PARSE_COMPLETE;
  }

  bind(body: Buffer): Buffer {
    const { portal, name, parameters, resultFormats } = readBind(body);
    const command = this.#statement(name);
    if (parameters.length > 0) throw new GatewayError('protocol_violation', 'there are no parameters here');
    if (resultFormats.includes(1)) {
      const hint = 'Ask for text, or use the simple query protocol.';
      throw new GatewayError('feature_not_supported', 'the console answers in text only', { hint });
    }
    keep(this.#portals, portal, { command, sent: 0 });
    return BIND_COMPLETE;
  }

  describe(body: Buffer): Buffer {
    const target = readDescribe(body);
    const command = target.kind === 'S' ? this.#statement(target.name) : this.#portal(target.name).command;
    const columns = command?.columns ? describeColumns(command.columns) : NO_DATA;
    return target.kind === 'S' ? Buffer.concat([parameterDescription([]), columns]) : columns;
  }

  close(body: Buffer): Buffer {
    const { kind, name }: Target = readClose(body);
    if (kind === 'S') this.#statements.delete(name);
    else this.#portals.delete(name);
    return CLOSE_COMPLETE;
  }

  /** Runs a portal's command the first time; `run` does so. */
  async execute(body: Buffer, run: (command: Command) => Promise<Answer>): Promise<Buffer> {
    const { portal: name, maxRows } = readExecute(body);
    const portal = this.#portal(name);
    if (!portal.command) return EMPTY_QUERY_RESPONSE;
    portal.answer ??= await run(portal.command);
    const { answer } = portal;
    if (maxRows <= 0 && portal.sent === 0) return encodeAnswer(answer, { described: true });
    const rows = answer.table?.rows ?? [];
    const next = rows.slice(portal.sent, maxRows > 0 ? portal.sent + maxRows : undefined);
    portal.sent += next.length;
    const last = portal.sent < rows.length ? PORTAL_SUSPENDED : commandComplete(answer.tag);
    return Buffer.concat([...encodeNotice(answer), ...next.map(encodeRow), last]);
  }

  /** Portals end with their transaction, here with each Sync. */
  sync(): void {
    this.#portals.clear();
  }

  #statement(name: string): Command | undefined {
    if (this.#statements.has(name)) return this.#statements.get(name);
    throw new GatewayError('invalid_sql_statement_name', `prepared statement "${name}" does not exist`);
  }

  #portal(name: string): Portal {
    const portal = this.#portals.get(name);
    if (portal) return portal;
    throw new GatewayError('invalid_sql_statement_name', `portal "${name}" does not exist`);
  }
}

function keep<T>(where: Map<string, T>, name: string, what: T): void {
  if (where.size >= MOST && !where.has(name)) {
    throw new GatewayError('program_limit_exceeded', `more than ${MOST} statements or portals`);
  }
  where.set(name, what);
}
