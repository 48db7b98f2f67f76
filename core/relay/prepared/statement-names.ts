/**
 * Names of statements in Parse, Bind, Describe and Close as bytes: read, and replaced by names of the gateway. Nothing is decoded,
 * because texts and names are in the client's encoding. A name is a string of the characters with its bytes' numbers.
 */
import { Frontend, HEADER_BYTES } from '../../wire/frames.ts';
import { message } from '../../wire/message.ts';
import type { PendingWrite } from '../pending-write.ts';

/** Name and the rest of a whole Parse: its text with the zero byte, and its parameter types. */
export interface ParseParts {
  readonly name: string;
  /** A view of the message. */
  readonly body: Buffer;
}

/** True where the end of the message has not arrived. */
export const isCutOff = (frame: Buffer): boolean => frame.length <= frame.readUInt32BE(1);

/** A whole Parse; undefined where it is malformed. */
export function parseParts(frame: Buffer): ParseParts | undefined {
  const end = frame.indexOf(0, HEADER_BYTES);
  const textEnd = end < 0 ? end : frame.indexOf(0, end + 1);
  if (textEnd < 0 || frame.length < textEnd + 3) return undefined;
  if (frame.length !== textEnd + 3 + 4 * frame.readUInt16BE(textEnd + 1)) return undefined;
  return { name: frame.toString('latin1', HEADER_BYTES, end), body: frame.subarray(end + 1) };
}

/** The statement that a Parse or Bind names, of which the beginning is enough; undefined where it cannot be read. */
export function nameIn(frame: Buffer, isBind: boolean): string | undefined {
  const start = isBind ? frame.indexOf(0, HEADER_BYTES) + 1 : HEADER_BYTES;
  const end = start === 0 ? -1 : frame.indexOf(0, start);
  return end < 0 ? undefined : frame.toString('latin1', start, end);
}

/** The portal that a Bind or Execute names, of which the beginning is enough. */
export const portalIn = (frame: Buffer): string =>
  frame.toString('latin1', HEADER_BYTES, stringEnd(frame, HEADER_BYTES, frame.length));

/** The statement that a Describe or Close is about; undefined for a portal, or where it cannot be read. */
export function statementIn(frame: Buffer): string | undefined {
  if (frame[HEADER_BYTES] !== 0x53) return undefined;
  const end = frame.indexOf(0, HEADER_BYTES + 1);
  return end === frame.length - 1 ? frame.toString('latin1', HEADER_BYTES + 1, end) : undefined;
}

/** The statement that a Parse, Bind, Describe or Close is about; undefined for a portal, or where it cannot be read. */
export const nameFor = (type: number, frame: Buffer): string | undefined =>
  type === Frontend.parse || type === Frontend.bind
    ? nameIn(frame, type === Frontend.bind)
    : statementIn(frame);

/** Where the string ends that begins at `from`: the place of its zero byte; `end` where it has none before that. */
export function stringEnd(data: Buffer, from: number, end: number): number {
  let at = from;
  // Most are a few bytes long: quicker than a search.
  while (at < end && data[at] !== 0) at += 1;
  return at;
}

/** The rest of a Parse of an empty statement without parameters: prepared in any transaction, even in a failed one. */
export const EMPTY: Buffer = Buffer.from([0, 0, 0]);

/** A Parse under a name of the gateway. @throws GatewayError `program_limit_exceeded` for one that became too long */
export const renamedParse = (serverName: string, body: Buffer): Buffer =>
  message('P', [Buffer.from(`${serverName}\0`, 'latin1'), body]);

/** The same Bind for another prepared statement. The frame may be cut off behind its names; the length says all of it. */
export const renamedBind = (frame: Buffer, serverName: string): Buffer =>
  renamed(frame, frame.indexOf(0, HEADER_BYTES) + 1, serverName);

/** Adds the whole Bind in `data` from `at` to `end`, which names a statement, for another prepared statement. */
export function renameBind(
  out: PendingWrite,
  data: Buffer,
  at: number,
  end: number,
  serverName: string,
): void {
  const start = out.length;
  const name = stringEnd(data, at + HEADER_BYTES, end) + 1;
  out.add(data, at, name);
  out.addLatin1(serverName);
  out.add(data, stringEnd(data, name, end), end);
  out.endMessage(start);
}

/** The same Parse under another name; it may be cut off behind that. */
export const renamedLongParse = (frame: Buffer, serverName: string): Buffer =>
  renamed(frame, HEADER_BYTES, serverName);

function renamed(frame: Buffer, start: number, serverName: string): Buffer {
  const rest = frame.indexOf(0, start) + 1;
  const head = Buffer.concat([frame.subarray(0, start), Buffer.from(`${serverName}\0`)]);
  head.writeUInt32BE(frame.readUInt32BE(1) + head.length - rest, 1);
  return Buffer.concat([head, frame.subarray(rest)]);
}
