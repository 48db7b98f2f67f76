/** Logs in at every server of an entry as every role that is known, as the pool does, and leaves no connection. */
import { TLSSocket } from 'node:tls';
import type { ResolvedConfig, ResolvedDatabase } from '../../config/resolved.ts';
import { hostsOf } from '../../contract/database.ts';
import type { HostAddress } from '../../contract/database.ts';
import { parseDatabase, parseRole } from '../../contract/names.ts';
import { reasonOf } from '../../contract/reason.ts';
import type { ServerConnection } from '../../upstream/connection.ts';
import { within } from '../../upstream/deadline.ts';
import { dial } from '../../upstream/dial.ts';
import { serverAt } from '../../upstream/hosts/endpoint.ts';
import { open } from '../../upstream/open.ts';
import { unreachable } from '../../upstream/refusals.ts';
import { isLocal } from '../../upstream/secure.ts';
import { canLogIn, mappedBy } from '../sql/served.ts';
import type { Finding } from './finding.ts';
import { isUnreachable, whyRefused } from './refusal.ts';

/** How long one login may take in all, in milliseconds. */
export const TARGET_MS = 5_000;
/** Logins at one server at the same time. */
const AT_ONCE = 4;
/** The oldest version that the gateway is tested with. */
const OLDEST = 15;

/** An entry by the name that clients use, and one of its servers. */
interface Target {
  readonly name: string;
  readonly database: ResolvedDatabase;
  readonly host: Required<HostAddress>;
}

const where = ({ host, port }: HostAddress): string => `${host} port ${port}`;

/** Those that plugins may map, and those that have a password. */
function rolesOf({ plugins }: ResolvedConfig, name: string, database: ResolvedDatabase): readonly string[] {
  const { login } = database;
  const listed =
    login.kind === 'password' && typeof login.passwords !== 'function' ? Object.keys(login.passwords) : [];
  const mapped = mappedBy(plugins, name).filter((role) => canLogIn(database, role));
  return [...new Set([...mapped, ...listed])];
}

const late = (): Error => unreachable(new Error(`no answer within ${TARGET_MS / 1_000} seconds`));

function aboutTls({ database, host }: Target): string {
  const { mode } = database.tls;
  if (host.host.startsWith('/')) return 'unix socket';
  if (mode === 'disable') return 'without TLS';
  return mode === 'require' ? 'TLS that is not verified' : `TLS, ${mode}`;
}

/** What is there and works, and is weaker than it could be. */
function weakness({ database, host }: Target, version: string): string | undefined {
  const { mode } = database.tls;
  if (mode === 'require')
    return "mode 'require' verifies no certificate: whoever is between can read everything";
  if (mode === 'disable' && !isLocal(host.host)) return 'the connection leaves this machine without TLS';
  const major = Number.parseInt(version, 10);
  if (major < OLDEST)
    return `PostgreSQL ${version} is older than ${OLDEST}, the oldest that the gateway is tested with`;
  return undefined;
}

function opened(target: Target, role: string, connection: ServerConnection): readonly Finding[] {
  const path = `databases.${target.name}`;
  const version = connection.parameters.get('server_version') ?? 'of an unknown version';
  const { socket } = connection.channel;
  const protocol = socket instanceof TLSSocket ? ` (${socket.getProtocol()})` : '';
  const kind = connection.serverStatus?.kind ?? 'server';
  const text = `role "${role}" logs in at ${where(target.host)}: ${kind}, PostgreSQL ${version}, ${aboutTls(target)}${protocol}`;
  const weak = weakness(target, version);
  const more: readonly Finding[] =
    weak === undefined
      ? []
      : [{ level: 'warning', path: `${path}.tls`, text: `${where(target.host)}: ${weak}` }];
  return [{ level: 'ok', path, text }, ...more];
}

async function logIn(target: Target, role: string, signal: AbortSignal): Promise<ServerConnection> {
  const { name, database, host } = target;
  const server = parseDatabase(database.database);
  const mapped = parseRole(role);
  const upstream = { entry: name, database: server, role: mapped, settings: {}, schemas: [], onCheckout: [] };
  const startup = { user: role, database: server, parameters: {} };
  return within(TARGET_MS, signal, late, (inner) =>
    open({ entry: name, database, upstream, startup, endpoint: host, probes: true, signal: inner }),
  );
}

interface Tried {
  readonly findings: readonly Finding[];
  /** No other role would get further. */
  readonly unreachable: boolean;
}

async function tryRole(target: Target, role: string, signal: AbortSignal): Promise<Tried> {
  try {
    const connection = await logIn(target, role, signal);
    try {
      return { findings: opened(target, role, connection), unreachable: false };
    } finally {
      connection.close();
    }
  } catch (error) {
    const away = isUnreachable(error);
    const who = away ? '' : `role "${role}" at `;
    const text = `${who}${where(target.host)}: ${whyRefused(error)}`;
    return { findings: [{ level: 'error', path: `databases.${target.name}`, text }], unreachable: away };
  }
}

/** Only the way to it, where no role is known. */
async function tryServer(target: Target, signal: AbortSignal): Promise<readonly Finding[]> {
  const path = `databases.${target.name}`;
  try {
    const server = serverAt(target.database, target.host);
    const { channel } = await dial(server, signal, { connectMs: TARGET_MS });
    channel.destroy();
    const text = `${where(target.host)} is there (${aboutTls(target)}), and nobody logged in: no role is known that plugins map`;
    return [{ level: 'warning', path, text }];
  } catch (error) {
    return [{ level: 'error', path, text: `${where(target.host)}: ${whyRefused(error)}` }];
  }
}

async function tryHost(
  target: Target,
  roles: readonly string[],
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const [first, ...others] = roles;
  if (first === undefined) return tryServer(target, signal);
  const { findings, unreachable: away } = await tryRole(target, first, signal);
  if (away) return findings;
  const all = [...findings];
  for (let from = 0; from < others.length; from += AT_ONCE) {
    const group = others.slice(from, from + AT_ONCE);
    const tried = await Promise.all(group.map((role) => tryRole(target, role, signal)));
    all.push(...tried.flatMap((one) => one.findings));
  }
  return all;
}

/**
 * All servers of an entry at once.
 * @param name as clients use it; for `'*'` nobody logs in, since nobody knows which databases they name
 */
export async function entryFindings(
  config: ResolvedConfig,
  name: string,
  signal: AbortSignal,
): Promise<readonly Finding[]> {
  const path = `databases.${name}`;
  let database: ResolvedDatabase | undefined;
  try {
    database = await config.database(name);
  } catch (error) {
    return [{ level: 'error', path, text: error instanceof Error ? reasonOf(error) : 'no reason' }];
  }
  if (!database) return [{ level: 'error', path, text: 'the config serves no database of this name' }];
  const roles = name === '*' ? [] : rolesOf(config, name, database);
  const hosts = hostsOf(database).map((host) => tryHost({ name, database, host }, roles, signal));
  return (await Promise.all(hosts)).flat();
}
