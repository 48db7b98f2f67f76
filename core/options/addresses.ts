/** IP addresses as numbers, in the one form in which they are compared. */
import { SocketAddress, isIPv4 } from 'node:net';

/** An address as unsigned 32-bit words, the highest first: one word is IPv4, four are IPv6. */
export type AddressWords = readonly number[];

/** Third word of an IPv4-mapped IPv6 address, behind two that are zero (RFC 4291 §2.5.5.2). */
const MAPPED = 0xffff;

/**
 * Reads an address. A zone (`%eth0`) is dropped: it names a link of one machine. IPv4 has four decimal numbers without
 * leading zeros, which some read as octal. Undefined where the text is no address.
 */
export function parseAddress(text: string): AddressWords | undefined {
  if (isIPv4(text)) return [wordOf(text)];
  return text.includes(':') ? wordsOf(text) : undefined;
}

/** An IPv4-mapped IPv6 address as the IPv4 address it is; every other as it stands. */
export function unmapped(words: AddressWords): AddressWords {
  const [first, second, third, fourth] = words;
  return first === 0 && second === 0 && third === MAPPED && fourth !== undefined ? [fourth] : words;
}

/** The text of an address as RFC 5952 has it, IPv4-mapped IPv6 unmapped: equal addresses have equal texts. */
export function addressText(words: AddressWords): string {
  const [only = 0, ...others] = unmapped(words);
  if (others.length === 0) return [24, 16, 8, 0].map((shift) => (only >>> shift) & 0xff).join('.');
  const groups = words.flatMap((word) => [word >>> 16, word & 0xffff]).map((group) => group.toString(16));
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address;
}

function wordOf(dotted: string): number {
  let word = 0;
  let byte = 0;
  for (let at = 0; at < dotted.length; at += 1) {
    const code = dotted.charCodeAt(at);
    if (code === 0x2e) {
      word = word * 256 + byte;
      byte = 0;
    } else byte = byte * 10 + code - 0x30;
  }
  return word * 256 + byte;
}

/** Where the groups of an IPv6 address stand while they are read. */
interface Groups {
  readonly read: number[];
  /** How many stand before `::`; -1 without one. */
  gap: number;
}

const COLON = 0x3a;

/** Reads by hand what a pattern would take two microseconds for, at each look-up. */
function wordsOf(text: string): AddressWords | undefined {
  const zone = text.indexOf('%');
  if (zone >= 0 && !/^[\w.:-]+$/.test(text.slice(zone + 1))) return undefined;
  const groups: Groups = { read: [], gap: text.startsWith('::') ? 0 : -1 };
  const end = zone < 0 ? text.length : zone;
  for (let at = groups.gap === 0 ? 2 : 0; at < end;) {
    at = readGroup(text, at, end, groups);
    if (at < 0) return undefined;
  }
  const missing = 8 - groups.read.length;
  if (groups.gap < 0 ? missing !== 0 : missing < 1) return undefined;
  if (missing > 0) groups.read.splice(groups.gap, 0, ...Array.from({ length: missing }, () => 0));
  return [0, 2, 4, 6].map((first) => (groups.read[first] ?? 0) * 65_536 + (groups.read[first + 1] ?? 0));
}

/** Reads one group and the colons behind it. Returns where the next one begins, -1 where there is none as there should be. */
function readGroup(text: string, start: number, end: number, groups: Groups): number {
  let at = start;
  let group = 0;
  for (let digit = digitAt(text, at, end); digit >= 0; digit = digitAt(text, at, end)) {
    group = group * 16 + digit;
    at += 1;
  }
  if (text[at] === '.' && at < end) return readDotted(text.slice(start, end), end, groups);
  if (at === start || at - start > 4 || groups.read.push(group) > 8) return -1;
  if (at === end) return end;
  if (text.charCodeAt(at) !== COLON || at + 1 === end) return -1;
  if (text.charCodeAt(at + 1) !== COLON) return at + 1;
  if (groups.gap >= 0) return -1;
  groups.gap = groups.read.length;
  return at + 2;
}

/** The value of a hexadecimal digit, -1 where there is none. */
function digitAt(text: string, at: number, end: number): number {
  if (at >= end) return -1;
  const code = text.charCodeAt(at);
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  // Bit 5 is all that capitals and small letters differ in.
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/** The last two groups, written as an IPv4 address (RFC 4291 §2.2). */
function readDotted(text: string, end: number, groups: Groups): number {
  if (!isIPv4(text)) return -1;
  const word = wordOf(text);
  return groups.read.push(word >>> 16, word & 0xffff) > 8 ? -1 : end;
}
