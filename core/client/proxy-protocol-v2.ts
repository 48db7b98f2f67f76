/** Version 2 of HAProxy's PROXY protocol: binary, with extensions (TLVs) behind the addresses. */
import { addressText } from '../options/addresses.ts';
import { ProxyHeaderWrong } from './proxy-header.ts';
import type { Origin } from './proxy-header.ts';

/** What a header begins with (PROXY protocol, 2.2). */
export const SIGNATURE: Buffer = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
/** Bytes of the part whose length is known: signature, version and command, family, length of the rest. */
export const FIXED = 16;
/** Longest rest that is read, in bytes. Addresses and usual extensions take some hundred; nginx stops at 4096. */
export const LONGEST_REST = 16_384;

const LOCAL = 0x20;
const PROXY = 0x21;

/** Bytes of one address without its port, and of the whole block, by family and transport: TCP and UDP, IPv4, IPv6, unix. */
const FAMILIES: Readonly<Record<number, { readonly address: number; readonly block: number }>> = {
  0x11: { address: 4, block: 12 },
  0x12: { address: 4, block: 12 },
  0x21: { address: 16, block: 36 },
  0x22: { address: 16, block: 36 },
  0x31: { address: 108, block: 216 },
  0x32: { address: 108, block: 216 },
};
const UNSPECIFIED = 0x00;
const UNIX = 108;

/** How many bytes follow the fixed part. @throws ProxyHeaderWrong if it is none of version 2, or they are too many */
export function restLength(fixed: Buffer): number {
  if (!fixed.subarray(0, SIGNATURE.length).equals(SIGNATURE)) throw new ProxyHeaderWrong('no signature');
  const command = fixed.readUInt8(12);
  if (command !== LOCAL && command !== PROXY)
    throw new ProxyHeaderWrong('neither LOCAL nor PROXY of version 2');
  const length = fixed.readUInt16BE(14);
  if (length > LONGEST_REST) throw new ProxyHeaderWrong(`longer than ${FIXED + LONGEST_REST} bytes`);
  return length;
}

/** Reads a whole header. Undefined: the proxy speaks for itself, or does not know. @throws ProxyHeaderWrong */
export function parseHeader(header: Buffer): Origin | undefined {
  const family = header.readUInt8(13);
  if (header.readUInt8(12) === LOCAL || family === UNSPECIFIED) return undefined;
  const layout = FAMILIES[family];
  if (!layout) throw new ProxyHeaderWrong('a family of addresses that version 2 does not have');
  if (header.length < FIXED + layout.block) throw new ProxyHeaderWrong('too short for its addresses');
  checkExtensions(header, FIXED + layout.block);
  if (layout.address === UNIX) return undefined;
  const words = Array.from({ length: layout.address / 4 }, (_, at) => header.readUInt32BE(FIXED + at * 4));
  return { address: addressText(words), port: header.readUInt16BE(FIXED + 2 * layout.address) };
}

const CRC32C = 0x03;
/** A type and the length of a value. */
const EXTENSION_HEAD = 3;

/** Walks the extensions; only the checksum says anything about the rest. */
function checkExtensions(header: Buffer, start: number): void {
  for (let at = start; at < header.length;) {
    const value = at + EXTENSION_HEAD;
    const end = value <= header.length ? value + header.readUInt16BE(at + 1) : Infinity;
    if (end > header.length) throw new ProxyHeaderWrong('an extension goes beyond the end');
    if (header.readUInt8(at) === CRC32C) checkSum(header, value, end);
    at = end;
  }
}

/** CRC-32C of the whole header with zeros in the place of the checksum itself (PROXY protocol, 2.2.3). */
function checkSum(header: Buffer, start: number, end: number): void {
  const sum = end - start === 4 ? header.readUInt32BE(start) : undefined;
  const zeroed = Buffer.from(header).fill(0, start, end);
  if (crc32c(zeroed) !== sum) throw new ProxyHeaderWrong('the checksum does not fit');
}

/** The polynomial of Castagnoli, its bits reversed (RFC 3720 B.4); zlib has another. */
const POLYNOMIAL = 0x82f63b78;

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
  }
  return ~crc >>> 0;
}
