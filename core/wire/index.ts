/**
 * The protocol for plugins that answer a database themselves, as `postern/wire`: messages of clients are read, those of a server made.
 * Every type here is spelled out in terms of `Uint8Array`, so that its declarations need no types of Node.
 */
import type { GatewayError } from '../contract/errors.ts';
import type { ParseMessage, Target } from './client-messages.ts';
import type { Report } from './report.ts';
import { Frontend as TYPES } from './frames.ts';
import * as frontend from './frontend.ts';
import * as fields from './message.ts';
import * as toClient from './to-client.ts';

export type { ParseMessage, Target } from './client-messages.ts';
export type { Report } from './report.ts';

const view = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

// ---- messages of clients (manual, 55.7), from their bodies ----

/** Type bytes of messages of clients. */
export const Frontend: {
  readonly bind: 0x42;
  readonly close: 0x43;
  readonly copyData: 0x64;
  readonly copyDone: 0x63;
  readonly copyFail: 0x66;
  readonly describe: 0x44;
  readonly execute: 0x45;
  readonly flush: 0x48;
  readonly functionCall: 0x46;
  readonly parse: 0x50;
  readonly password: 0x70;
  readonly query: 0x51;
  readonly sync: 0x53;
  readonly terminate: 0x58;
} = TYPES;

/** A Bind. Formats: none is all text, one is for all, else one each; 0 is text, 1 binary. A parameter that is null is SQL NULL. */
export interface BindMessage {
  readonly portal: string;
  readonly name: string;
  readonly formats: readonly number[];
  readonly parameters: readonly (Uint8Array | null)[];
  readonly resultFormats: readonly number[];
}

/** Query: its text. @throws GatewayError `protocol_violation`, as every reader here */
export const readQuery: (body: Uint8Array) => string = (body) => frontend.readQuery(view(body));
/** Parse. */
export const readParse: (body: Uint8Array) => ParseMessage = (body) => frontend.readParse(view(body));
/** Bind. Its parameters are views of the body. */
export const readBind: (body: Uint8Array) => BindMessage = (body) => frontend.readBind(view(body));
/** Describe. */
export const readDescribe: (body: Uint8Array) => Target = (body) => frontend.readDescribe(view(body));
/** Close. */
export const readClose: (body: Uint8Array) => Target = (body) => frontend.readClose(view(body));
/** Execute; `maxRows` 0 is no limit. */
export const readExecute: (body: Uint8Array) => { readonly portal: string; readonly maxRows: number } = (
  body,
) => frontend.readExecute(view(body));

// ---- fields of messages ----

/** Int16; also takes up to 65535, the counts that PostgreSQL reads unsigned. @throws RangeError beyond 16 bits */
export const int16: (value: number) => Uint8Array = fields.int16;
/** Int32; also takes up to 2³²-1, the object ids. @throws RangeError beyond 32 bits */
export const int32: (value: number) => Uint8Array = fields.int32;
/** String: UTF-8 with a zero byte behind it. @throws GatewayError `protocol_violation` for a text with a zero byte */
export const cstring: (text: string) => Uint8Array = fields.cstring;
/** Bytes behind their Int32 length; undefined is the length -1, which is SQL NULL. */
export const sized: (bytes: Uint8Array | undefined) => Uint8Array = fields.sized;
/** A message: its type byte, its length, its fields. @throws GatewayError `program_limit_exceeded` beyond 1 GiB */
export const message: (type: string, parts?: readonly Uint8Array[]) => Uint8Array = fields.message;

// ---- messages of a server (manual, 55.7), whole; constants are shared: never modify them ----

/** ParseComplete. */
export const PARSE_COMPLETE: Uint8Array = toClient.PARSE_COMPLETE;
/** BindComplete. */
export const BIND_COMPLETE: Uint8Array = toClient.BIND_COMPLETE;
/** CloseComplete. */
export const CLOSE_COMPLETE: Uint8Array = toClient.CLOSE_COMPLETE;
/** NoData. */
export const NO_DATA: Uint8Array = toClient.NO_DATA;
/** EmptyQueryResponse. */
export const EMPTY_QUERY_RESPONSE: Uint8Array = toClient.EMPTY_QUERY_RESPONSE;
/** PortalSuspended. */
export const PORTAL_SUSPENDED: Uint8Array = toClient.PORTAL_SUSPENDED;
/** ReadyForQuery: idle, in a transaction, in a failed one. Shared: never modify it. */
export const readyForQuery: (status: 'I' | 'T' | 'E') => Uint8Array = toClient.readyForQuery;
/** ParameterStatus. @throws GatewayError `protocol_violation` for a zero byte */
export const parameterStatus: (name: string, value: string) => Uint8Array = toClient.parameterStatus;
/** CommandComplete. */
export const commandComplete: (tag: string) => Uint8Array = toClient.commandComplete;
/** ParameterDescription: the object ids of types. */
export const parameterDescription: (types: readonly number[]) => Uint8Array = toClient.parameterDescription;
/** NoticeResponse. */
export const noticeResponse: (report: Report<'NOTICE' | 'WARNING' | 'INFO' | 'LOG' | 'DEBUG'>) => Uint8Array =
  toClient.noticeResponse;
/** ErrorResponse of a GatewayError. */
export const refusal: (severity: 'ERROR' | 'FATAL', error: GatewayError) => Uint8Array = toClient.refusal;
