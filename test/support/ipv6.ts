/** Whether this machine has IPv6: tests of it are skipped elsewhere, and say so. */
import { once } from 'node:events';
import net from 'node:net';

async function listensOnIpv6(): Promise<boolean> {
  const server = net.createServer();
  server.listen(0, '::1');
  const listens = await once(server, 'listening').then(
    () => true,
    () => false,
  );
  server.close();
  return listens;
}

/** Whether a server can listen on `::1`. */
export const hasIpv6 = await listensOnIpv6();

/** The name of a test that needs it, with the reason where it is skipped. */
export const ipv6Test = (name: string): string =>
  hasIpv6 ? name : `${name}: skipped, this machine has no IPv6`;
