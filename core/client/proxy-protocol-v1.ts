/** Version 1 of HAProxy's PROXY protocol: one line of text. */
import { isIPv4 } from 'node:net';
import { addressText, parseAddress } from '../options/addresses.ts';
import { ProxyHeaderWrong } from './proxy-header.ts';
import type { Origin } from './proxy-header.ts';

/** Longest line in bytes, its CRLF included (PROXY protocol, 2.1). */
export const LONGEST_LINE = 107;
/** Shortest line in bytes: `PROXY UNKNOWN` and CRLF. */
export const SHORTEST_LINE = 15;

const LINE = /^PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP([46]) ([^ ]+) ([^ ]+) (\d{1,5}) (\d{1,5}))\r\n$/;

function addressOf(text: string, family: '4' | '6'): string {
  const words = text.includes('%') ? undefined : parseAddress(text);
  if (!words || isIPv4(text) !== (family === '4')) throw new ProxyHeaderWrong(`no address of TCP${family}`);
  return addressText(words);
}

function portOf(digits: string): number {
  const port = Number(digits);
  if (port > 65_535 || String(port) !== digits) throw new ProxyHeaderWrong('no port');
  return port;
}

/** Reads a whole line, CRLF included. Undefined: the proxy does not know. @throws ProxyHeaderWrong */
export function parseLine(line: Buffer): Origin | undefined {
  const found = LINE.exec(line.toString('latin1'));
  if (!found) throw new ProxyHeaderWrong('not as version 1 has it');
  const [, family, source = '', destination = '', from = '', to = ''] = found;
  if (family !== '4' && family !== '6') return undefined;
  addressOf(destination, family);
  portOf(to);
  return { address: addressOf(source, family), port: portOf(from) };
}
