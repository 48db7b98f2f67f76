/** Servers that do what PostgreSQL never does: from the first byte, or in the middle of a session. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

/** What a server says to whatever it is told first. */
const SAID: Readonly<Record<string, Buffer | 'close' | 'silence'>> = {
  closing: 'close',
  silent: 'silence',
  web: bytes('HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n'),
  random: randomBytes(100_000),
  zeros: Buffer.alloc(100_000),
  endless: bytes('R\xff\xff\xff\xff'),
  tiny: bytes('R\0\0\0\x03'),
  notices: bytes('N\0\0\0\x05\0'.repeat(5_000)),
  nameless: bytes('E\0\0\0\x05\0'),
  early: bytes('R\0\0\0\x08\0\0\0\0Z\0\0\0\x05X'),
  half: bytes('R\0\0\0\x08\0\0'),
};

/** What a server says in the middle of a session, by the name that the statement asks for. */
export const OUTBURSTS: Readonly<Record<string, Buffer>> = {
  random: Buffer.from('8f00a6c1d4', 'hex'),
  zeros: Buffer.alloc(100_000),
  endless: bytes('T\xff\xff\xff\xff'),
  tiny: bytes('C\0\0\0\x03'),
  unknown: bytes('!\0\0\0\x04'),
  authentication: bytes('R\0\0\0\x08\0\0\0\x03'),
  'a status that is none': bytes('Z\0\0\0\x05X'),
  'more answers than questions': bytes('C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I'.repeat(3)),
};

async function listening(server: net.Server): Promise<net.Server> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

/** The port of a server that listens. */
export function portOf(server: net.Server): number {
  return (server.address() as AddressInfo).port;
}

/** One server for each manner, by its name. */
export async function strangeServers(): Promise<ReadonlyMap<string, net.Server>> {
  const servers = new Map<string, net.Server>();
  for (const [name, does] of Object.entries(SAID)) {
    const server = net.createServer((socket) => {
      socket.on('error', () => {});
      socket.once('data', () => {
        if (does === 'close') socket.destroy();
        else if (does !== 'silence') socket.write(does);
      });
    });
    servers.set(name, await listening(server));
  }
  return servers;
}

/** PostgreSQL at `port`, but for statements with `outburst: name`, which are answered from {@link OUTBURSTS}. */
export async function moodyServer(port: number): Promise<net.Server> {
  const server = net.createServer((socket) => {
    const behind = net.connect(port, '127.0.0.1');
    for (const one of [socket, behind]) one.on('error', () => {});
    behind.pipe(socket);
    socket.on('data', (chunk: Buffer) => {
      const [, name = ''] = /outburst: ([\w ]+)/.exec(chunk.toString('latin1')) ?? [];
      const said = OUTBURSTS[name];
      if (said) socket.write(said);
      else behind.write(chunk);
    });
    socket.on('close', () => behind.destroy());
  });
  return listening(server);
}
