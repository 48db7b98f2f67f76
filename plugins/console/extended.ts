/** The extended protocol in the console: statements and portals by name, without parameters (manual, 55.2.3). */
import { GatewayError } from '../../core/index.ts';
import type { Target } from '../../core/wire/index.ts';
import { readBind, readClose, readDescribe, readExecute, readParse } from '../../core/wire/index.ts';
import {
  BIND_COMPLETE,
  CLOSE_COMPLETE,
  EMPTY_QUERY_RESPONSE,
  NO_DATA,
  PARSE_COMPLETE,
  PORTAL_SUSPENDED,
  parameterDescription,
} from '../../core/wire/index.ts';
import { encodeAnswer, encodeEnd, encodeNotice } from './answers.ts';
import type { Answer, Command } from './command.ts';
import { parseCommands } from './admin-commands.ts';
import { describeColumns, encodeRow } from './table.ts';
import type { Formats } from './table.ts';
import { TYPES } from './types.ts';

interface Portal {
  /** Undefined: an empty text. */
  readonly command: Command | undefined;
  readonly formats: Formats;
  answer?: Answer;
  /** Rows that have been sent. */
  sent: number;
}

/** What parameters are described as. */
const [TEXT] = TYPES.text;

/** Statements or portals that a session may have at once. */
const MOST = 100;

/** One per console session. Every method throws GatewayError to refuse. */
export class Extended {
  readonly #statements = new Map<string, Command | undefined>();
  readonly #portals = new Map<string, Portal>();

  parse(body: Uint8Array): Uint8Array {
    const { name, sql } = readParse(body);
    if (name !== '' && this.#statements.has(name)) {
      throw new GatewayError('duplicate_prepared_statement', `prepared statement "${name}" already exists`);
    }
    const [command, ...more] = parseCommands(sql);
    if (more.length > 0) {
      throw new GatewayError('syntax_error', 'cannot insert multiple commands into a prepared statement');
    }
    keep(this.#statements, name, command);
    return PARSE_COMPLETE;
  }

  bind(body: Uint8Array): Uint8Array {
    const { portal, name, parameters, resultFormats: formats } = readBind(body);
    const command = this.#statement(name);
    const { parameters: takes = 0 } = command ?? {};
    if (parameters.length !== takes) {
      const counts = `${parameters.length} parameters, but prepared statement "${name}" requires ${takes}`;
      throw new GatewayError('protocol_violation', `bind message supplies ${counts}`);
    }
    refuseFormats(formats, command?.columns?.length);
    keep(this.#portals, portal, { command, formats, sent: 0 });
    return BIND_COMPLETE;
  }

  describe(body: Uint8Array): Uint8Array {
    const { kind, name } = readDescribe(body);
    if (kind === 'S') {
      const command = this.#statement(name);
      const types = Array.from({ length: command?.parameters ?? 0 }, () => TEXT);
      return Buffer.concat([parameterDescription(types), described(command)]);
    }
    const { command, formats } = this.#portal(name);
    return described(command, formats);
  }

  close(body: Uint8Array): Uint8Array {
    const { kind, name }: Target = readClose(body);
    if (kind === 'S') this.#statements.delete(name);
    else this.#portals.delete(name);
    return CLOSE_COMPLETE;
  }

  /** Runs a portal's command the first time; `run` does so. */
  async execute(body: Uint8Array, run: (command: Command) => Promise<Answer>): Promise<Uint8Array> {
    const { portal: name, maxRows } = readExecute(body);
    const portal = this.#portal(name);
    if (!portal.command) return EMPTY_QUERY_RESPONSE;
    portal.answer ??= await run(portal.command);
    const { answer } = portal;
    const { table } = answer;
    if (!table || (maxRows <= 0 && portal.sent === 0)) return encodeAnswer(answer, portal.formats);
    const next = table.rows.slice(portal.sent, maxRows > 0 ? portal.sent + maxRows : undefined);
    portal.sent += next.length;
    const rows = next.map((row) => encodeRow(table, row, portal.formats));
    const last = portal.sent < table.rows.length ? PORTAL_SUSPENDED : encodeEnd(answer);
    return Buffer.concat([...encodeNotice(answer), ...rows, last]);
  }

  /** Portals end with their transaction: outside of one, with each Sync. */
  transactionEnded(): void {
    this.#portals.clear();
  }

  /** Forgets a statement, or all. @throws GatewayError `invalid_sql_statement_name` */
  deallocate(name: string | undefined): void {
    if (name === undefined) return this.#statements.clear();
    this.#statement(name);
    this.#statements.delete(name);
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

const described = (command: Command | undefined, formats?: Formats): Uint8Array =>
  command?.columns ? describeColumns(command.columns, formats) : NO_DATA;

/** As PostgreSQL does: none, one for all, or one for each column. */
function refuseFormats(formats: Formats, columns: number | undefined): void {
  const unknown = formats.find((format) => format !== 0 && format !== 1);
  if (unknown !== undefined) {
    throw new GatewayError('invalid_parameter_value', `unsupported format code: ${unknown}`);
  }
  if (columns === undefined || formats.length <= 1 || formats.length === columns) return;
  const counts = `${formats.length} result formats but query has ${columns} columns`;
  throw new GatewayError('protocol_violation', `bind message has ${counts}`);
}

function keep<T>(where: Map<string, T>, name: string, what: T): void {
  if (where.size >= MOST && !where.has(name)) {
    throw new GatewayError('program_limit_exceeded', `more than ${MOST} statements or portals`);
  }
  where.set(name, what);
}
