/** Where a client comes from, in the one form in which addresses are compared. */
import type { ChannelSocket } from '../net/socket-events.ts';

/** The address of every client of a unix socket, in PgBouncer's word: it is in no network. */
export const UNIX = 'unix';

/**
 * A peer's address and port; IPv4-mapped IPv6 addresses are unmapped. Empty and 0 where there is none any more.
 * @param unix the listener is a unix socket
 */
export function peerOf(
  socket: ChannelSocket,
  unix = false,
): { readonly address: string; readonly port: number } {
  if (unix) return { address: UNIX, port: 0 };
  return { address: unmapped(socket.remoteAddress ?? ''), port: socket.remotePort ?? 0 };
}

/** An address without the mapping of IPv4 into IPv6 (RFC 4291 §2.5.5.2). */
function unmapped(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
}

/** Whether an address in text form is this machine's own: 127.0.0.0/8, ::1 or a unix socket. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address === UNIX || /^127(\.\d{1,3}){3}$/.test(address);
}
