/** `postern init`: writes a config from a URL and flags, checks it, and prints the SQL for its roles. */
import { isIP } from 'node:net';
import type { CommandLine } from '../contract/command.ts';
import type { HostAddress, TlsMode, UpstreamTls } from '../contract/database.ts';
import { ConfigError } from '../contract/errors.ts';
import { isLocal } from '../upstream/secure.ts';
import { valueOf } from './command-line.ts';
import { parseConnectionUri } from './init/connection-uri.ts';
import type { ConnectionUri } from './init/connection-uri.ts';
import { draftOf } from './init/draft.ts';
import type { Wanted } from './init/draft.ts';
import { fromParameters } from './init/parameters.ts';
import type { FromParameters } from './init/parameters.ts';
import { rolesSql } from './sql.ts';
import { destination, pathIn, writeConfig } from './written/config-file.ts';
import type { Destination } from './written/config-file.ts';
import { configText } from './written/config-text.ts';
import { Variables } from './written/variables.ts';

const SOCKETS = '/var/run/postgresql';
const MODES: readonly TlsMode[] = ['disable', 'require', 'verify-ca', 'verify-full'];
/** The role where nobody names one: a superuser, whose name a URL commonly has, is refused by the pool. */
const ROLE = 'app';
const SUPERUSER = 'postgres';

function oneOf<T extends string>(line: CommandLine, name: string, choices: readonly T[]): T | undefined {
  const given = valueOf(line, name);
  const choice = choices.find((one) => one === given);
  if (given === undefined || choice !== undefined) return choice;
  throw new ConfigError(`--${name}: one of ${choices.join(', ')} is needed`);
}

function portIn(option: string, text: string): number {
  const port = Number(text);
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port;
  throw new ConfigError(`--${option}: ${text} is not a port`);
}

/** `HOST:PORT`, `HOST` or, with `lonePort`, `PORT`; an IPv6 address in brackets where a port is behind it. */
function addressIn(option: string, text: string): Partial<HostAddress> {
  if (isIP(text) !== 0 || text.startsWith('/')) return { host: text };
  const colon = text.lastIndexOf(':');
  const [host, port] = colon < 0 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)];
  const name = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  return { ...(name !== '' && { host: name }), ...(colon >= 0 && { port: portIn(option, port) }) };
}

function listenOf(line: CommandLine): Wanted['listen'] {
  const given = valueOf(line, 'listen') ?? '127.0.0.1:6432';
  const { host = '127.0.0.1', port = 6432 } = /^\d+$/.test(given)
    ? { port: portIn('listen', given) }
    : addressIn('listen', given);
  return { host, port };
}

function hostsOf(line: CommandLine, uri: ConnectionUri | undefined): readonly HostAddress[] {
  const flags = (line.options['host'] ?? []).map((text) => addressIn('host', text));
  const hosts = flags.length > 0 ? flags : (uri?.hosts ?? []);
  return hosts.map(({ host = '', port }) => ({
    host: host === '' ? SOCKETS : host,
    ...(port !== undefined && { port }),
  }));
}

/** Says the mode also where it is the default, except on this machine: whoever reads the file has to know it. */
function tlsOf(
  line: CommandLine,
  hosts: readonly HostAddress[],
  { tls }: FromParameters,
  to: Destination,
): UpstreamTls | undefined {
  const mode = oneOf(line, 'tls', MODES) ?? tls?.mode;
  const file = valueOf(line, 'ca') ?? tls?.ca;
  const ca = file === undefined ? undefined : pathIn(to, file);
  if (hosts.every(({ host }) => host.startsWith('/'))) return undefined;
  if (mode === undefined && ca === undefined && hosts.every(({ host }) => isLocal(host))) return undefined;
  return { mode: mode ?? 'verify-full', ...(ca !== undefined && { ca }) };
}

function rolesOf(line: CommandLine, uri: ConnectionUri | undefined): readonly string[] {
  const named = [...new Set(line.options['role'] ?? [])];
  if (named.length > 0) return named;
  return [uri?.user === undefined || uri.user === SUPERUSER ? ROLE : uri.user];
}

function issuerOf(line: CommandLine): string {
  const issuer = valueOf(line, 'issuer');
  if (issuer !== undefined) return issuer;
  throw new ConfigError('--issuer is needed: the URL of the identity provider, as its tokens have it in iss');
}

function databaseOf(line: CommandLine, uri: ConnectionUri | undefined): string {
  // As libpq: without a name it is that of the user.
  const name = valueOf(line, 'database') ?? uri?.database ?? uri?.user;
  if (name !== undefined) return name;
  throw new ConfigError('no database is named: postgres://host/DATABASE, or --database NAME');
}

function keysOf(line: CommandLine, to: Destination): string | undefined {
  const given = valueOf(line, 'jwks');
  return given === undefined || /^https?:/.test(given) ? given : pathIn(to, given);
}

function wantedOf(line: CommandLine, uri: ConnectionUri | undefined, to: Destination): Wanted {
  const hosts = hostsOf(line, uri);
  if (hosts.length === 0)
    throw new ConfigError('no server is named: postgres://HOST/database, or --host HOST');
  const parameters = fromParameters(uri?.parameters ?? new Map<string, string>());
  return {
    listen: listenOf(line),
    hosts,
    database: databaseOf(line, uri),
    tls: tlsOf(line, hosts, parameters, to),
    parameters,
    login: oneOf(line, 'login', ['password', 'trust'] as const) ?? 'password',
    roles: rolesOf(line, uri),
    issuer: issuerOf(line),
    audience: valueOf(line, 'audience') ?? 'postern',
    jwks: keysOf(line, to),
    claim: valueOf(line, 'claim') ?? 'role',
  };
}

function secretLines({ roles }: Wanted, uri: ConnectionUri | undefined, names: Variables): readonly string[] {
  if (names.names.length === 0) return [];
  const lines = roles.map((role) => {
    const known = uri?.password !== undefined && role === uri.user;
    return `  ${names.for(role, role)}: the password of role ${role}${known ? ', which the URL has' : ''}`;
  });
  return ['Set before the start:', ...lines];
}

function aboutUser({ roles }: Wanted, uri: ConnectionUri | undefined): readonly string[] {
  const { user, password } = uri ?? {};
  if (user === undefined || roles.includes(user)) return [];
  const why =
    user === SUPERUSER ? 'is commonly a superuser, which the gateway does not log in as' : 'is not used';
  const lost = password === undefined ? '' : ', and neither is its password';
  return [`The user of the URL, ${user}, ${why}${lost}: the roles are ${roles.join(', ')}.`];
}

/** A command line is in the list of processes, which every user of the machine may read. */
function aboutPassword(uri: ConnectionUri | undefined): readonly string[] {
  if (uri?.password === undefined) return [];
  return ['The URL has a password, and ps shows command lines to others: init needs none, leave it out.'];
}

/**
 * Writes the file, prints SQL on standard output and what is left to do on standard error; resolves with exit code 0.
 * @throws ConfigError for a file that is there, for what is missing, and for what `postern check` would refuse
 */
export async function init(line: CommandLine): Promise<number> {
  const [given] = line.operands;
  const uri = given === undefined ? undefined : parseConnectionUri(given);
  const to = destination(valueOf(line, 'config'), valueOf(line, 'force') !== undefined);
  const wanted = wantedOf(line, uri, to);
  const variables = new Variables();
  const text = configText(draftOf(wanted, variables));
  const { config, complaint } = await writeConfig(to, text, { variables: variables.names, anyway: false });
  if (!config) throw new ConfigError(complaint);
  const lines = [
    `${to.path} is written and valid.`,
    ...wanted.parameters.remarks.map((remark) => `Not taken over as it is: ${remark}.`),
    ...aboutUser(wanted, uri),
    ...aboutPassword(uri),
    ...secretLines(wanted, uri, variables),
    'Then: run the SQL that follows as a superuser, postern check --online, postern start.',
  ];
  process.stderr.write(`${lines.join('\n')}\n`);
  process.stdout.write(await rolesSql(config, { database: undefined, roles: [] }));
  return 0;
}
