/** The header that a proxy puts in front of a connection to say whose it is (HAProxy's PROXY protocol, both versions). */
import { ProxyHeaderWrong } from './proxy-header.ts';
import type { Origin } from './proxy-header.ts';
import { LONGEST_LINE, SHORTEST_LINE, parseLine } from './proxy-protocol-v1.ts';
import { FIXED, SIGNATURE, parseHeader, restLength } from './proxy-protocol-v2.ts';
import { ClientGone } from './reader.ts';
import type { Reader } from './reader.ts';

const NAME = Buffer.from('PROXY ');

/** Whether the first bytes of a connection can only be a header. Some suffice: no packet of PostgreSQL is so long. */
export function looksProxied(head: Buffer): boolean {
  return [NAME, SIGNATURE].some((sign) => sign.subarray(0, head.length).equals(head));
}

/**
 * Reads the header, and not a byte more. One that is cut into pieces is the same as in one.
 * Has no deadline of its own: destroying the channel ends it.
 * @returns undefined where the proxy speaks for itself (LOCAL) or does not know the client's address
 * @throws ClientGone if there is no header, or one that is wrong
 */
export async function readProxyHeader(reader: Reader): Promise<Origin | undefined> {
  const first = await reader.peek();
  try {
    if (first === NAME[0]) return parseLine(await readLine(reader));
    if (first === SIGNATURE[0]) return parseHeader(await readBinary(reader));
  } catch (error) {
    if (error instanceof ProxyHeaderWrong) throw new ClientGone('PROXY header', { cause: error });
    throw error;
  }
  throw new ClientGone('no PROXY header, although proxyProtocol.trusted names this address');
}

async function readLine(reader: Reader): Promise<Buffer> {
  let line = await reader.exactly(SHORTEST_LINE);
  if (!line.subarray(0, NAME.length).equals(NAME)) throw new ProxyHeaderWrong('not as version 1 has it');
  while (!line.includes('\n')) {
    if (line.length === LONGEST_LINE) throw new ProxyHeaderWrong(`longer than ${LONGEST_LINE} bytes`);
    line = Buffer.concat([line, await reader.exactly(1)]);
  }
  return line;
}

async function readBinary(reader: Reader): Promise<Buffer> {
  const fixed = await reader.exactly(FIXED);
  return Buffer.concat([fixed, await reader.exactly(restLength(fixed))]);
}
