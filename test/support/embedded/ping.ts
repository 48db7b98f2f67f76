/** Asks a server whether it takes connections, as `pg_isready` does. */
import { connect } from 'node:net';

/** StartupMessage of protocol 3.0 (manual, 55.7); whom it names does not matter, the first answer does. */
const STARTUP = ((): Buffer => {
  const parameters = Buffer.from('user\0postgres\0\0');
  const head = Buffer.alloc(8);
  head.writeUInt32BE(head.length + parameters.length, 0);
  head.writeUInt32BE(196_608, 4);
  return Buffer.concat([head, parameters]);
})();

/** True if the server asks for a password, which it does not before it is ready (it says 57P03). Never rejects. */
export async function ping(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 }, () => socket.write(STARTUP));
    socket.once('data', (bytes) => {
      resolve(bytes[0] === 'R'.charCodeAt(0));
      socket.destroy();
    });
    socket.once('timeout', () => socket.destroy());
    socket.once('error', () => undefined);
    socket.once('close', () => {
      resolve(false);
    });
  });
}
