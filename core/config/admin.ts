/** Fills the defaults of `admin`: where it listens. */
import { basename, dirname, join, resolve } from 'node:path';
import type { AdminOptions } from '../contract/config.ts';
import { ConfigError } from '../contract/errors.ts';
import { LONGEST_SOCKET, resolveListenTls } from './defaults.ts';
import type { ResolvedAdmin, ResolvedListener } from './resolved.ts';

/** What `admin` may not collide with, and where relative paths start. */
export interface AdminPlace {
  readonly listeners: readonly ResolvedListener[];
  /** The folder of the config file. */
  readonly directory: string;
}

type Where = Pick<ResolvedAdmin, 'host' | 'port' | 'mode' | 'tls'>;

/** As long as the name under which the socket is made (`UnixSocket`). */
const NAME_AT_FIRST = '.s.1234567';

function unixSocket(options: AdminOptions, directory: string): Where {
  const { path = '', mode = 0o660 } = options;
  for (const key of ['host', 'port', 'tls'] as const)
    if (options[key] !== undefined)
      throw new ConfigError(`admin.${key}: a unix socket has none; leave it out, or path`);
  const host = resolve(directory, path);
  const name = basename(host).length > NAME_AT_FIRST.length ? basename(host) : NAME_AT_FIRST;
  const length = Buffer.byteLength(join(dirname(host), name));
  if (length <= LONGEST_SOCKET) return { host, port: 0, mode, tls: undefined };
  throw new ConfigError(
    `admin.path: a unix socket's path has at most ${LONGEST_SOCKET} bytes, this one would have ${length}`,
  );
}

function tcp(options: AdminOptions, { listeners, directory }: AdminPlace): Where {
  const { host = '127.0.0.1', port = 9432, mode, tls } = options;
  if (host.startsWith('/'))
    throw new ConfigError(`admin.host: write path: '${host}' for a unix socket, which is a file`);
  if (mode !== undefined) throw new ConfigError('admin.mode: is for a unix socket, which has a path');
  const same = listeners.find((one) => port !== 0 && one.port === port && one.host === host);
  if (same) throw new ConfigError(`admin.port: listener '${same.name}' has ${host} port ${port} already`);
  if (!tls) return { host, port, mode, tls };
  // A certificate that nobody has to show would be no wall.
  const demand = tls.clientCa === undefined ? {} : ({ clientCertificate: 'required' } as const);
  return { host, port, mode, tls: resolveListenTls({ ...demand, ...tls }, { path: 'admin.tls', directory }) };
}

/** Completes `admin`. @throws ConfigError for files that cannot be used, and for an address that is taken */
export function resolveAdmin(options: AdminOptions, place: AdminPlace): ResolvedAdmin {
  const { operators } = options;
  const where = options.path === undefined ? tcp(options, place) : unixSocket(options, place.directory);
  return { ...(operators && { operators }), ...where };
}
