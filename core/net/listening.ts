/** Waits until a server listens, and says in a sentence why it cannot. */
import type { Server } from 'node:net';
import { ConfigError } from '../contract/errors.ts';

/** Where a server really listens. */
export interface Address {
  /** An address, or the folder of a unix socket, as libpq has it. */
  readonly host: string;
  readonly port: number;
}

/** `what` is the path in the config. @throws ConfigError */
export function listening(server: Server, what: string, host: string, port: number): Promise<Address> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException): void => {
      reject(cannotListen(error, what, host, port));
    };
    server.once('error', failed);
    server.once('listening', () => {
      server.off('error', failed);
      const bound = server.address();
      // That of a unix socket is its path.
      resolve({ host, port: typeof bound === 'object' && bound ? bound.port : port });
    });
  });
}

/** The mistake of a config whose address cannot be had; `what` is the path in it. */
export const cannotListen = (
  error: NodeJS.ErrnoException,
  what: string,
  host: string,
  port: number,
): ConfigError => new ConfigError(`${what}: ${sentence(error, host, port)}`);

const PROBLEMS: Readonly<Record<string, (host: string, port: number) => string>> = {
  EADDRINUSE: (host, port) => `port ${port} of ${host} is in use by another program`,
  EADDRNOTAVAIL: (host) => `${host} is not an address of this machine`,
  ENOTFOUND: (host) => `${host} is not an address of this machine`,
  EACCES: (_, port) => `port ${port} needs more privileges than this process has`,
};

function sentence(error: NodeJS.ErrnoException, host: string, port: number): string {
  const problem = PROBLEMS[error.code ?? ''];
  return problem?.(host, port) ?? `cannot listen on ${host}, port ${port}: ${error.message}`;
}
