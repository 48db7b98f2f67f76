/** A connection that a plugin has accepted: what it says of its stream and its client, checked. */
import { Duplex } from 'node:stream';
import { UNIX } from '../client/address.ts';
import type { Client } from '../contract/session.ts';
import { Channel } from '../net/channel.ts';
import { StreamSocket } from '../net/stream-socket.ts';
import type { AsOwner } from '../net/stream-socket.ts';
import { addressText, parseAddress } from '../options/addresses.ts';

const LARGEST_PORT = 65_535;

const accepted = new WeakSet<Duplex>();

/** The channel of a stream. @throws TypeError for anything but a stream of bytes; Error for one that has a channel already */
export function acceptedChannel(stream: unknown, asOwner: AsOwner): Channel {
  if (!(stream instanceof Duplex)) throw new TypeError('accept: the stream is no Duplex of node:stream');
  if (stream.readableObjectMode || stream.writableObjectMode || stream.readableEncoding !== null)
    throw new TypeError('accept: the stream has to be one of bytes, without object mode or an encoding');
  // Each would read what is meant for the other, and log in with its token.
  if (accepted.has(stream)) throw new Error('accept: the stream has been accepted before');
  accepted.add(stream);
  return new Channel(new StreamSocket(stream, asOwner));
}

/** The one form in which addresses are compared: whoever has it from a header has it in any. @throws TypeError */
function addressOf(given: string): string {
  if (given === UNIX) return UNIX;
  const words = typeof given === 'string' ? parseAddress(given) : undefined;
  if (!words) throw new TypeError(`accept: '${given}' is neither an IP address nor '${UNIX}'`);
  return addressText(words);
}

/**
 * A copy in the form in which clients of sockets are known.
 * @throws TypeError for what no client has; Error for a listener that is not one of `listeners`
 */
export function acceptedClient(
  { address, port, listener, tls }: Client,
  listeners: readonly { readonly name: string }[],
): Client {
  if (!listeners.some(({ name }) => name === listener))
    throw new Error(`accept: the config has no listener '${listener}'`);
  if (!Number.isInteger(port) || port < 0 || port > LARGEST_PORT)
    throw new TypeError(`accept: ${port} is no port`);
  const known = { address: addressOf(address), port, listener };
  if (!tls) return known;
  // A certificate and its digest are those of one certificate.
  const digest = tls.certificate && { certificateSha256: tls.certificate.sha256 };
  return { ...known, tls: { ...tls, ...digest } };
}
