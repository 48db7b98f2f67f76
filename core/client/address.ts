/** Where a client comes from, in the one form in which addresses are compared. */
import type { Socket } from 'node:net';

/** The address of every client of a unix socket, in PgBouncer's word: it is in no network. */
const UNIX = 'unix';

/**
 * A peer's address and port; IPv4-mapped IPv6 addresses are unmapped. Empty and 0 where there is none any more.
 * @param unix the listener is a unix socket
 */
export function peerOf(socket: Socket, unix = false): { readonly address: string; readonly port: number } {
  if (unix) return { address: UNIX, port: 0 };
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
  return { address, port: socket.remotePort ?? 0 };
}

/** Whether an address in text form is this machine's own: 127.0.0.0/8, ::1 or a unix socket. */
export function isLoopback(address: string): boolean {
  return address === '::1' || address === UNIX || /^127(\.\d{1,3}){3}$/.test(address);
}
