/** Where a client comes from, in the one form in which addresses are compared. */
import type { Socket } from 'node:net';

/** A peer's address and port; IPv4-mapped IPv6 addresses are unmapped. Empty and 0 where there is none. */
export function peerOf(socket: Socket): { readonly address: string; readonly port: number } {
  const address = (socket.remoteAddress ?? '').replace(/^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i, '');
  return { address, port: socket.remotePort ?? 0 };
}

/** Whether an address in text form is this machine's own: 127.0.0.0/8 or ::1. */
export function isLoopback(address: string): boolean {
  return address === '::1' || /^127(\.\d{1,3}){3}$/.test(address);
}
