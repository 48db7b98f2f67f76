/** Builds what the gateway sends to a client (manual, 55.7): whole messages, type and length included. */
import type { GatewayError } from '../contract/errors.ts';
import type { Report } from './report.ts';
import { byte1, cstring, int16, int32, message, sized } from './message.ts';

/** AuthenticationOk. Constants are shared: never modify them. */
export const AUTHENTICATION_OK: Buffer = message('R', [int32(0)]);
/** AuthenticationCleartextPassword. */
export const AUTHENTICATION_CLEARTEXT_PASSWORD: Buffer = message('R', [int32(3)]);
/** ParseComplete. */
export const PARSE_COMPLETE: Buffer = message('1');
/** BindComplete. */
export const BIND_COMPLETE: Buffer = message('2');
/** CloseComplete. */
export const CLOSE_COMPLETE: Buffer = message('3');
/** NoData. */
export const NO_DATA: Buffer = message('n');
/** EmptyQueryResponse. */
export const EMPTY_QUERY_RESPONSE: Buffer = message('I');
/** PortalSuspended. */
export const PORTAL_SUSPENDED: Buffer = message('s');

const READY = { I: message('Z', [byte1('I')]), T: message('Z', [byte1('T')]), E: message('Z', [byte1('E')]) };

/** ReadyForQuery: idle, in a transaction, in a failed one. Shared: never modify it. */
export function readyForQuery(status: 'I' | 'T' | 'E'): Buffer {
  return READY[status];
}

/** AuthenticationSASL. libpq reads at most 2000 bytes here. */
export function authenticationSasl(mechanisms: readonly string[]): Buffer {
  return message('R', [int32(10), ...mechanisms.map(cstring), Buffer.alloc(1)]);
}

/** AuthenticationSASLContinue. libpq reads at most 2000 bytes here. */
export function authenticationSaslContinue(data: Uint8Array): Buffer {
  return message('R', [int32(11), data]);
}

/** AuthenticationSASLFinal. */
export function authenticationSaslFinal(data: Uint8Array): Buffer {
  return message('R', [int32(12), data]);
}

/** ParameterStatus. @throws GatewayError `protocol_violation` for a zero byte */
export function parameterStatus(name: string, value: string): Buffer {
  return message('S', [cstring(name), cstring(value)]);
}

/** BackendKeyData: a secret of 4 bytes for protocol 3.0, up to 256 for 3.2. */
export function backendKeyData(processId: number, secret: Uint8Array): Buffer {
  return message('K', [int32(processId), secret]);
}

/** CommandComplete. */
export function commandComplete(tag: string): Buffer {
  return message('C', [cstring(tag)]);
}

/** ParameterDescription. */
export function parameterDescription(types: readonly number[]): Buffer {
  return message('t', [int16(types.length), ...types.map(int32)]);
}

/** RowDescription of columns of type text, in text form, that belong to no table. */
export function rowDescription(names: readonly string[]): Buffer {
  const TEXT = 25;
  const rest = Buffer.concat([int32(0), int16(0), int32(TEXT), int16(-1), int32(-1), int16(0)]);
  return message('T', [int16(names.length), ...names.flatMap((name) => [cstring(name), rest])]);
}

/** DataRow of text; null is SQL NULL. */
export function dataRow(values: readonly (string | null)[]): Buffer {
  const columns = values.map((value) => sized(value === null ? undefined : Buffer.from(value)));
  return message('D', [int16(values.length), ...columns]);
}

/**
 * ErrorResponse (manual, 55.8). Zero bytes are taken out of the texts and long ones are cut, so that the message
 * always stays below 30 000 bytes, beyond which libpq takes it for garbage before login.
 */
export function errorResponse(report: Report<'ERROR' | 'FATAL' | 'PANIC'>): Buffer {
  return encodeReport('E', report);
}

/** ErrorResponse for a refusal of the gateway's own. */
export function refusal(severity: 'ERROR' | 'FATAL', error: GatewayError): Buffer {
  const { sqlstate: code, message: text, detail, hint, routine } = error;
  return errorResponse({ severity, code, message: text, detail, hint, routine });
}

/** ErrorResponse of protocols 1 and 2, which have a text instead of fields: as PostgreSQL tells them that they are too old. */
export function oldRefusal({ message: text }: GatewayError): Buffer {
  return Buffer.concat([byte1('E'), cstring(`FATAL:  ${text}\n`)]);
}

/** NoticeResponse (manual, 55.8); texts as in {@link errorResponse}. Between login requests libpq does not expect one. */
export function noticeResponse(report: Report<'NOTICE' | 'WARNING' | 'INFO' | 'LOG' | 'DEBUG'>): Buffer {
  return encodeReport('N', report);
}

/** Characters per text: three texts of at most 3 bytes each stay below 27 000 bytes. */
const LONGEST_TEXT = 3_000;

function encodeReport(type: string, report: Report<string>): Buffer {
  const { severity, code, message: text, detail, hint, routine } = report;
  const fields = [field('S', severity), field('V', severity), field('C', code), field('M', text)];
  if (detail !== undefined) fields.push(field('D', detail));
  if (hint !== undefined) fields.push(field('H', hint));
  if (routine !== undefined) fields.push(field('R', routine));
  return message(type, [...fields, Buffer.alloc(1)]);
}

function field(code: string, text: string): Buffer {
  return Buffer.concat([byte1(code), cstring(text.replaceAll('\0', '').slice(0, LONGEST_TEXT))]);
}
