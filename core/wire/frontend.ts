/** Reads what a client sends after its StartupMessage (manual, 55.7), from bodies without type byte and length. */
import { GatewayError } from '../contract/errors.ts';
import { BodyReader } from './body.ts';
import type { ParseMessage, Target } from './client-messages.ts';

/** Bind. */
export interface BindMessage {
  readonly portal: string;
  /** Name of the prepared statement. */
  readonly name: string;
  /** None: all text; one: for all; else one per parameter. 0 is text, 1 binary. */
  readonly formats: readonly number[];
  /** Views of the body; null is SQL NULL. */
  readonly parameters: readonly (Buffer | null)[];
  readonly resultFormats: readonly number[];
}

/** A part of a body: offsets in bytes, the end excluded. */
export interface Slice {
  readonly start: number;
  readonly end: number;
}

/** Query: its text. @throws GatewayError `protocol_violation`, as every function here */
export function readQuery(body: Buffer): string {
  const reader = new BodyReader(body);
  const sql = reader.cstring();
  reader.end();
  return sql;
}

/** Where the text of a Query is, without decoding it. */
export function querySlice(body: Buffer): Slice {
  const reader = new BodyReader(body);
  return { start: 0, end: reader.cstringBytes().length };
}

/** Parse. */
export function readParse(body: Buffer): ParseMessage {
  const reader = new BodyReader(body);
  const name = reader.name();
  const sql = reader.cstring();
  const types = list(reader, () => reader.uint32());
  reader.end();
  return { name, sql, types };
}

/** Name of a Parse, without decoding more. */
export function parseName(body: Buffer): string {
  return new BodyReader(body).name();
}

/** Where the text of a Parse is, without decoding it; the name is before it, the types one byte behind its end. */
export function parseSlice(body: Buffer): Slice {
  const reader = new BodyReader(body);
  reader.cstringBytes();
  const start = reader.at;
  return { start, end: start + reader.cstringBytes().length };
}

/** Bind. What the server checks beyond the layout (counts of formats against parameters) is left to it. */
export function readBind(body: Buffer): BindMessage {
  const reader = new BodyReader(body);
  const portal = reader.name();
  const name = reader.name();
  const formats = list(reader, () => reader.int16());
  const parameters = list(reader, () => reader.sized() ?? null);
  const resultFormats = list(reader, () => reader.int16());
  reader.end();
  return { portal, name, formats, parameters, resultFormats };
}

/** Names in a Bind, without decoding more. */
export function bindNames(body: Buffer): Pick<BindMessage, 'portal' | 'name'> {
  const reader = new BodyReader(body);
  return { portal: reader.name(), name: reader.name() };
}

/** Describe. */
export function readDescribe(body: Buffer): Target {
  return readTarget(body, 'DESCRIBE');
}

/** Close. */
export function readClose(body: Buffer): Target {
  return readTarget(body, 'CLOSE');
}

/** Execute; `maxRows` 0 is no limit. */
export function readExecute(body: Buffer): { readonly portal: string; readonly maxRows: number } {
  const reader = new BodyReader(body);
  const portal = reader.name();
  const maxRows = reader.int32();
  reader.end();
  return { portal, maxRows };
}

/** FunctionCall: the object id of the function; its arguments are not looked at. */
export function readFunctionCall(body: Buffer): { readonly oid: number } {
  return { oid: new BodyReader(body).uint32() };
}

/** PasswordMessage: a view of the secret without its zero byte, maybe empty. Exactly one string, or it throws. */
export function readPassword(body: Buffer): Buffer {
  if (body.indexOf(0) !== body.length - 1 || body.length === 0) {
    throw new GatewayError('protocol_violation', 'invalid password packet size');
  }
  return body.subarray(0, -1);
}

/** SASLInitialResponse; `response` is undefined if the client sent none (length -1). */
export function readSaslInitialResponse(body: Buffer): {
  readonly mechanism: string;
  readonly response: Buffer | undefined;
} {
  const reader = new BodyReader(body);
  const mechanism = reader.cstring();
  const response = reader.sized();
  reader.end();
  return { mechanism, response };
}

/** SASLResponse: all of its body. */
export function readSaslResponse(body: Buffer): Buffer {
  return body;
}

/** Counts are unsigned on the server; each element takes at least two bytes, so the body bounds the work. */
function list<T>(reader: BodyReader, element: () => T): T[] {
  const count = reader.uint16();
  const elements: T[] = [];
  for (let i = 0; i < count; i += 1) elements.push(element());
  return elements;
}

function readTarget(body: Buffer, message: string): Target {
  const reader = new BodyReader(body);
  const kind = String.fromCharCode(reader.byte());
  if (kind !== 'S' && kind !== 'P') {
    throw new GatewayError('protocol_violation', `invalid ${message} message subtype ${kind.charCodeAt(0)}`);
  }
  const name = reader.name();
  reader.end();
  return { kind, name };
}
