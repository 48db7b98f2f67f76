/** The origin of a new connection: its peer, or the client that a trusted proxy names. */
import type { Channel } from '../net/channel.ts';
import type { Networks } from '../options/networks.ts';
import type { Client } from '../contract/session.ts';
import { peerOf } from './address.ts';
import { readProxyHeader } from './proxy-protocol.ts';
import { Reader } from './reader.ts';

/** A connection and its origin. */
export interface Arrival {
  /** No byte of the client itself has been read. */
  readonly reader: Reader;
  /** As in `Client`. */
  readonly address: string;
  readonly port: number;
  /** As in `Client`: the way it came is encrypted already. */
  readonly tls?: Client['tls'];
}

/**
 * Reads the PROXY header of a connection from one of `proxies`; every other is its peer's own.
 * Has no deadline of its own: destroying the channel ends it.
 * @throws ClientGone if the header is not there, or wrong
 */
export async function arrive(
  channel: Channel,
  proxies: Networks | undefined,
  unix = false,
): Promise<Arrival> {
  const peer = peerOf(channel.socket, unix);
  const reader = new Reader(channel);
  const origin = proxies?.has(peer.address) ? await readProxyHeader(reader) : undefined;
  return { reader, ...(origin ?? peer) };
}
