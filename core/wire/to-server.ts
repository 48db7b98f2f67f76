/** Builds what the gateway sends to a server after the StartupMessage (manual, 55.7): whole messages, type and length included. */
import { byte1, cstring, int16, int32, message, sized } from './message.ts';

// Every builder throws GatewayError `protocol_violation` for text with a zero byte.

/** Sync. Constants are shared: never modify them. */
export const SYNC: Buffer = message('S');
/** Flush. */
export const FLUSH: Buffer = message('H');
/** Terminate. */
export const TERMINATE: Buffer = message('X');
/** CopyDone. */
export const COPY_DONE: Buffer = message('c');

const NO_TYPES = int16(0);

/** Query. */
export function encodeQuery(sql: string): Buffer {
  return message('Q', [cstring(sql)]);
}

/** Parse. `types` is the tail of the message as it is on the wire, count included. Default: no types. */
export function encodeParse(name: string, sql: string, types: Uint8Array = NO_TYPES): Buffer {
  return message('P', [cstring(name), cstring(sql), types]);
}

/** Bind with parameters in text form, results in text form; null is SQL NULL. Default: no parameters. */
export function encodeBind(
  portal: string,
  name: string,
  parameters: readonly (string | null)[] = [],
): Buffer {
  const values = parameters.map((value) => sized(value === null ? undefined : Buffer.from(value)));
  return message('B', [
    cstring(portal),
    cstring(name),
    int16(0),
    int16(parameters.length),
    ...values,
    int16(0),
  ]);
}

/** Describe of a prepared statement (`S`) or a portal (`P`). */
export function encodeDescribe(kind: 'S' | 'P', name: string): Buffer {
  return message('D', [byte1(kind), cstring(name)]);
}

/** Execute. `maxRows` defaults to 0, no limit. */
export function encodeExecute(portal: string, maxRows = 0): Buffer {
  return message('E', [cstring(portal), int32(maxRows)]);
}

/** Close of a prepared statement (`S`) or a portal (`P`). */
export function encodeClose(kind: 'S' | 'P', name: string): Buffer {
  return message('C', [byte1(kind), cstring(name)]);
}

/** FunctionCall without arguments, result in text form; object id 0 is a function no server has. */
export function encodeFunctionCall(oid: number): Buffer {
  return message('F', [int32(oid), int16(0), int16(0), int16(0)]);
}

/** CopyFail. */
export function encodeCopyFail(reason: string): Buffer {
  return message('f', [cstring(reason)]);
}

/** PasswordMessage: cleartext, or the text that answers an md5 request. */
export function encodePassword(text: string): Buffer {
  return message('p', [cstring(text)]);
}

/** SASLInitialResponse. */
export function encodeSaslInitialResponse(mechanism: string, response: Uint8Array | undefined): Buffer {
  return message('p', [cstring(mechanism), sized(response)]);
}

/** SASLResponse. */
export function encodeSaslResponse(response: Uint8Array): Buffer {
  return message('p', [response]);
}
