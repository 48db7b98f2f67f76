/** Statements as `onQuery` sees them: made of a message, decoded when they are read. */
import type { Row, Statement } from '../../contract/statement.ts';
import {
  parseName,
  readBind,
  readExecute,
  readFunctionCall,
  readParse,
  readQuery,
} from '../../wire/frontend.ts';
import { encodeParse, encodeQuery } from '../../wire/to-server.ts';
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';

/** The part of a message behind type byte and length. */
export const bodyOf = (frame: Buffer): Buffer => frame.subarray(HEADER_BYTES);

/** Where the SQL text of a Query or Parse starts, 0 if the message is cut off before it. */
export function textStart(type: number, frame: Buffer): number {
  return type === Frontend.query ? HEADER_BYTES : frame.indexOf(0, HEADER_BYTES) + 1;
}

/** Query: `sql` is decoded at its first use. */
export class QueryStatement {
  readonly kind = 'query';
  readonly id: number;
  readonly #frame: Buffer;
  #sql: string | undefined;

  constructor(id: number, frame: Buffer, sql?: string) {
    this.id = id;
    this.#frame = frame;
    this.#sql = sql;
  }

  get sql(): string {
    return (this.#sql ??= readQuery(bodyOf(this.#frame)));
  }

  withSql(sql: string): QueryStatement {
    return new QueryStatement(this.id, encodeQuery(sql), sql);
  }

  get frame(): Buffer {
    return this.#frame;
  }
}

/** Parse: `sql` and `name` are decoded at their first use; a rewrite keeps name and parameter types. */
export class ParseStatement {
  readonly kind = 'parse';
  readonly id: number;
  readonly #frame: Buffer;
  #sql: string | undefined;

  constructor(id: number, frame: Buffer, sql?: string) {
    this.id = id;
    this.#frame = frame;
    this.#sql = sql;
  }

  get sql(): string {
    return (this.#sql ??= readParse(bodyOf(this.#frame)).sql);
  }

  get name(): string {
    return parseName(bodyOf(this.#frame));
  }

  withSql(sql: string): ParseStatement {
    const { name, types } = readParse(bodyOf(this.#frame));
    const words = Buffer.alloc(2 + 4 * types.length);
    words.writeUInt16BE(types.length);
    types.forEach((type, i) => words.writeUInt32BE(type, 2 + 4 * i));
    return new ParseStatement(this.id, encodeParse(name, sql, words), sql);
  }

  get frame(): Buffer {
    return this.#frame;
  }
}

/** Bind, with the values of its parameters. */
export function bindStatement(id: number, frame: Buffer, sqlOf: (name: string) => string): Statement {
  const { portal, name, parameters } = readBind(bodyOf(frame));
  const row: Row = parameters;
  return { kind: 'bind', id, sql: sqlOf(name), name, portal, parameters: row };
}

/** Execute, with the text of the prepared statement behind its portal. */
export function executeStatement(id: number, frame: Buffer, sqlOf: (portal: string) => string): Statement {
  const { portal } = readExecute(bodyOf(frame));
  return { kind: 'execute', id, sql: sqlOf(portal), portal };
}

/** FunctionCall; its arguments are not decoded. */
export function functionCallStatement(id: number, frame: Buffer): Statement {
  return { kind: 'function-call', id, function: readFunctionCall(bodyOf(frame)).oid };
}
