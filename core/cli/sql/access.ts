/** The lines of pg_hba.conf that let the gateway in as these roles, and nobody else. */
import type { ResolvedDatabase } from '../../config/check.ts';
import { hostsOf } from '../../contract/database.ts';
import { databaseField, quoted } from './quoting.ts';
import type { Served } from './served.ts';

/** Stands for the gateway's address: one that nobody has (RFC 5737 §3). Whoever forgets to replace it lets nobody in. */
export const PLACEHOLDER = '192.0.2.1/32';

const METHODS = {
  password: 'scram-sha-256',
  certificate: 'cert',
  trust: 'trust',
  'set-role': 'scram-sha-256',
} as const;

/** From where the gateway's connections come, as the server sees it. */
function addressesFor(host: string): readonly string[] {
  if (host.toLowerCase() === 'localhost') return ['127.0.0.1/32', '::1/128'];
  if (host === '::1') return ['::1/128'];
  return [/^127\.\d+\.\d+\.\d+$/.test(host) ? '127.0.0.1/32' : PLACEHOLDER];
}

const usersOf = ({ login, roles }: Served): readonly string[] =>
  login.kind === 'set-role' ? [login.user] : roles;

function databasesOf({ name, database, replication }: Served): string {
  const which = name === '*' ? 'all' : databaseField(database);
  // A keyword, so not in quotes: no database name covers physical replication (manual, 20.1).
  return replication ? `${which},replication` : which;
}

const connectionType = ({ tls }: ResolvedDatabase): string => (tls.mode === 'disable' ? 'host' : 'hostssl');

function allow(served: Served): readonly string[] {
  const fields = [databasesOf(served), usersOf(served).map(quoted).join(',')];
  const method = METHODS[served.login.kind];
  return hostsOf(served).flatMap(({ host }) => {
    if (host.startsWith('/')) return [['local', ...fields, method].join(' ')];
    return addressesFor(host).map((address) =>
      [connectionType(served), ...fields, address, method].join(' '),
    );
  });
}

/** A role may change its own password: these keep others from using it past the gateway. */
function reject(served: readonly Served[], only: string | undefined): readonly string[] {
  const users = [...new Set(served.flatMap((one) => [...usersOf(one), ...one.roles]))].map(quoted).join(',');
  const databases = only === undefined ? 'all' : databaseField(only);
  return [`local ${databases} ${users} reject`, `host ${databases} ${users} all reject`];
}

/**
 * The lines for the entries of one server, in the order in which they have to stand.
 * @param only the one database that was asked for, by its name on the server; what the roles may do elsewhere stays open
 */
export function accessTo(served: readonly Served[], only?: string): readonly string[] {
  const used = served.filter(({ roles }) => roles.length > 0);
  // What serves every other database comes behind those that it does not serve.
  const ordered = [...used.filter(({ name }) => name !== '*'), ...used.filter(({ name }) => name === '*')];
  return [...new Set([...ordered.flatMap(allow), ...reject(used, only)])];
}
