/** Fills a checked config's defaults, makes its paths absolute, and refuses combinations that cannot work. */
import { isIP } from 'node:net';
import { basename, dirname, join, resolve } from 'node:path';
import { hostsOf, targetOf } from '../contract/database.ts';
import type { DatabaseOptions, TlsMode, UpstreamTls } from '../contract/database.ts';
import type { ListenOptions, ListenTls } from '../contract/listen.ts';
import { ConfigError, GatewayError } from '../contract/errors.ts';
import { parseDatabase } from '../contract/names.ts';
import { Networks, parseNetwork } from '../options/networks.ts';
import { POOL_DEFAULTS } from '../upstream/pool/limits.ts';
import { checkChoice } from './auth.ts';
import type { ResolvedDatabase, ResolvedListener } from './resolved.ts';
import { checkAuthority, checkLogin, resolveLogin } from './login.ts';
import { resolveStartup } from './startup-rules.ts';
import { checkRevocationLists } from './revocation-lists.ts';
import { checkCertificates, checkKeyPair } from './tls-files.ts';

/** Where a piece of config stands: for messages, and for relative paths. */
export interface Place {
  /** Path in the config, for instance `databases.orders`. */
  readonly path: string;
  /** The folder of the config file. */
  readonly directory: string;
}

/** Makes the paths of TLS options absolute, and checks the files. @throws ConfigError naming place and file */
export function resolveListenTls(tls: ListenTls, { path, directory }: Place): ListenTls {
  const absolute = <T extends { readonly cert: string; readonly key: string }>(pair: T): T => ({
    ...pair,
    cert: resolve(directory, pair.cert),
    key: resolve(directory, pair.key),
  });
  const servernames = Object.entries(tls.servernames ?? {}).map(
    ([name, pair]) => [name, absolute(pair)] as const,
  );
  const resolved = absolute(tls);
  checkKeyPair(resolved, path);
  for (const [name, pair] of servernames) checkKeyPair(pair, `${path}.servernames['${name}']`);
  if (tls.clientCa === undefined) {
    const lone = (['clientCertificate', 'crl'] as const).find((key) => tls[key] !== undefined);
    if (lone === undefined) return { ...resolved, servernames: Object.fromEntries(servernames) };
    throw new ConfigError(`${path}.${lone}: needs clientCa, the authorities to verify it with`);
  }
  const clientCa = resolve(directory, tls.clientCa);
  checkCertificates(clientCa, `${path}.clientCa`);
  const clientCertificate = tls.clientCertificate ?? 'optional';
  const crl = tls.crl === undefined ? undefined : resolve(directory, tls.crl);
  if (crl !== undefined) checkRevocationLists(crl, clientCa, `${path}.crl`);
  return {
    ...resolved,
    clientCa,
    clientCertificate,
    ...(crl !== undefined && { crl }),
    servernames: Object.fromEntries(servernames),
  };
}

type Where = Pick<ResolvedListener, 'host' | 'mode'>;

function tcp({ host = '127.0.0.1', mode }: ListenOptions, path: string): Where {
  if (host.startsWith('/'))
    throw new ConfigError(`${path}.host: write path: '${host}' for a unix socket in this folder`);
  if (mode !== undefined) throw new ConfigError(`${path}.mode: is for a unix socket, which has a path`);
  return { host, mode };
}

/** What the system has room for in the name of a unix socket, in bytes. */
export const LONGEST_SOCKET = process.platform === 'linux' ? 107 : 103;

function unixSocket(options: ListenOptions, path: string, directory: string): Where {
  const { port = 6432, mode = 0o777 } = options;
  for (const key of ['host', 'tls', 'proxyProtocol'] as const) {
    if (options[key] === undefined) continue;
    throw new ConfigError(`${path}.${key}: a unix socket has none; leave it out, or path`);
  }
  if (port === 0) throw new ConfigError(`${path}.port: a unix socket has its port in its name: say which`);
  const host = resolve(directory, options.path ?? '');
  if (basename(host).startsWith('.s.PGSQL.'))
    throw new ConfigError(
      `${path}.path: is the folder of the socket: write path: '${dirname(host)}', and port`,
    );
  const length = Buffer.byteLength(join(host, `.s.PGSQL.${port}`));
  if (length <= LONGEST_SOCKET) return { host, mode };
  throw new ConfigError(
    `${path}.path: a unix socket's path has at most ${LONGEST_SOCKET} bytes, this one would have ${length}`,
  );
}

/**
 * Completes one listener.
 * @throws ConfigError for TLS files that cannot be used, and for a listener that would let nobody in
 */
export function resolveListener(options: ListenOptions, { path, directory }: Place): ResolvedListener {
  const { name = 'default', port = 6432, plaintext = 'loopback', auth = 'password' } = options;
  const { host, mode } =
    options.path === undefined ? tcp(options, path) : unixSocket(options, path, directory);
  if (!options.tls && plaintext === 'never') {
    throw new ConfigError(`${path}.plaintext: 'never' without tls lets nobody in`);
  }
  checkChoice(options, path);
  const tls = options.tls && resolveListenTls(options.tls, { path: `${path}.tls`, directory });
  const { proxyProtocol } = options;
  const { trusted } = proxyProtocol ?? {};
  const proxies = trusted && new Networks(trusted.map(parseNetwork));
  const startup = resolveStartup(options.startup ?? {}, `${path}.startup`);
  return { path, name, host, mode, port, tls, plaintext, auth, proxyProtocol, proxies, startup };
}

/** Says whether a host is reached without a network: a unix socket's folder or a loopback name or address. */
export function isLocal(host: string): boolean {
  if (host.startsWith('/') || host.toLowerCase() === 'localhost' || host === '::1') return true;
  return isIP(host) === 4 && host.startsWith('127.');
}

/** One mode is for all hosts: where they would differ, the config has to say which. */
function defaultMode(hosts: readonly string[], path: string): TlsMode {
  if (hosts.every(isLocal)) return 'disable';
  if (!hosts.some(isLocal)) return 'verify-full';
  throw new ConfigError(
    `${path}.mode: some hosts are this machine and some are not: say which mode is for all`,
  );
}

function resolveUpstreamTls(
  tls: UpstreamTls | undefined,
  hosts: readonly string[],
  { path, directory }: Place,
): ResolvedDatabase['tls'] {
  if (!tls) return { mode: defaultMode(hosts, path) };
  const { mode = 'verify-full' } = tls;
  if (hosts.some((host) => host.startsWith('/')) && mode !== 'disable') {
    throw new ConfigError(`${path}.mode: a unix socket has no TLS; leave tls out or say 'disable'`);
  }
  if (tls.ca === undefined) return { ...tls, mode };
  if (mode === 'disable' || mode === 'require') {
    throw new ConfigError(`${path}.ca: mode '${mode}' verifies nothing; say 'verify-full' or 'verify-ca'`);
  }
  return { ...tls, mode, ca: resolve(directory, tls.ca) };
}

function refuseTwins(options: DatabaseOptions, path: string): void {
  const hosts = hostsOf(options).map(({ host, port }) => `${host} port ${port}`);
  const twin = hosts.findIndex((one, place) => hosts.indexOf(one) < place);
  if (twin >= 0) throw new ConfigError(`${path}.host[${twin}]: ${hosts[twin]} comes twice`);
}

/** Some connections have to stay with clients in transaction mode. @throws ConfigError */
function checkSessions(
  { mode, clientMode, size, perRole = size, mostSessions }: typeof POOL_DEFAULTS,
  path: string,
): void {
  if (mode !== 'transaction' || clientMode !== 'choose') {
    if (mostSessions === undefined) return;
    throw new ConfigError(`${path}.mostSessions: is for mode: 'transaction' with clientMode: 'choose'`);
  }
  if (size < 2) throw new ConfigError(`${path}.clientMode: 'choose' needs a size of at least 2, is ${size}`);
  if (perRole < 2)
    throw new ConfigError(`${path}.clientMode: 'choose' needs a perRole of at least 2, is ${perRole}`);
  if (mostSessions !== undefined && mostSessions >= size)
    throw new ConfigError(
      `${path}.mostSessions: must be less than size, ${size}, is ${mostSessions}: nothing would be left for transaction mode`,
    );
}

/** Options that are without effect in a pool whose clients all have session mode. @throws ConfigError */
function checkTransactionOptions(pool: NonNullable<DatabaseOptions['pool']>, path: string): void {
  if (pool.mode === 'transaction' || pool.clientMode === 'choose') return;
  const found = (['unknownSettings', 'reparseAfter'] as const).find((name) => pool[name] !== undefined);
  if (found) throw new ConfigError(`${path}.${found}: is for mode: 'transaction'`);
  if (pool.detect === 'state')
    throw new ConfigError(`${path}.detect: 'state' is for mode: 'transaction'; say 'calls' or 'tags'`);
}

function checkName(name: string, path: string): void {
  try {
    parseDatabase(name);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    throw new ConfigError(`${path}: '${name}' is ${error.message}: ${error.hint ?? ''}`);
  }
}

/**
 * Completes one database entry for clients that call it `name`.
 * @throws ConfigError for combinations that cannot work
 */
export function resolveDatabase(options: DatabaseOptions, name: string, place: Place): ResolvedDatabase {
  const { host, port = 5432, pool, replication = false, privilegedRoles = [] } = options;
  const { maxProtocolVersion = '3.0' } = options;
  if (options.database !== undefined) checkName(options.database, `${place.path}.database`);
  refuseTwins(options, place.path);
  checkSessions({ ...POOL_DEFAULTS, ...pool }, `${place.path}.pool`);
  checkTransactionOptions(pool ?? {}, `${place.path}.pool`);
  const hosts = hostsOf(options).map((one) => one.host);
  const resolved = {
    host,
    port,
    target: targetOf(options),
    database: options.database ?? name,
    tls: resolveUpstreamTls(options.tls, hosts, { ...place, path: `${place.path}.tls` }),
    maxProtocolVersion,
    login: resolveLogin(options.login, place.directory),
    pool: { ...POOL_DEFAULTS, ...pool },
    startup: resolveStartup(options.startup ?? {}, `${place.path}.startup`),
    replication,
    privilegedRoles,
  };
  checkLogin(resolved, place.path);
  return resolved;
}

/** Checks at boot what an entry whose name is known would only meet at a login. @throws ConfigError */
export function checkDatabase(options: DatabaseOptions, name: string, place: Place): void {
  const { tls, login } = resolveDatabase(options, name, place);
  if (options.database === undefined && name !== '*') checkName(name, place.path);
  if (tls.ca !== undefined) checkCertificates(tls.ca, `${place.path}.tls.ca`);
  if (login.kind === 'certificate') checkAuthority(login, `${place.path}.login`);
}
