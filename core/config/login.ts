/** Completes how the gateway logs in to a database, and refuses what cannot work or would be weaker than it looks. */
import { resolve } from 'node:path';
import { hostsOf } from '../contract/database.ts';
import type { Login } from '../contract/database.ts';
import { ConfigError, GatewayError } from '../contract/errors.ts';
import { parseRole } from '../contract/names.ts';
import { AuthorityError, loadAuthority } from '../upstream/certificate/authority.ts';
import type { AuthorityFiles } from '../upstream/certificate/authority.ts';
import type { ResolvedDatabase } from './resolved.ts';

/** Makes paths absolute and fills defaults. */
export function resolveLogin(login: Login, directory: string): Login {
  if (login.kind !== 'certificate') return login;
  const { ca, key, lifetime = '10m' } = login;
  return { ...login, ca: resolve(directory, ca), key: resolve(directory, key), lifetime };
}

/**
 * Checks a login against the rest of its entry; reads no file.
 * @param path the entry's place in the config, for the message
 * @throws ConfigError for a certificate without TLS, and for `set-role` where it cannot hold
 */
export function checkLogin(database: ResolvedDatabase, path: string): void {
  const { tls, login, replication } = database;
  if (login.kind === 'certificate' && tls.mode === 'disable') {
    const why = "login kind 'certificate' needs TLS, in which certificates are shown";
    if (hostsOf(database).every(({ host }) => host.startsWith('/')))
      throw new ConfigError(`${path}.host: ${why}, and a unix socket has none`);
    throw new ConfigError(`${path}.tls: ${why}: say tls: { ca: … } or another mode than 'disable'`);
  }
  if (login.kind !== 'set-role') return;
  if (replication) {
    throw new ConfigError(
      `${path}.replication: with login kind 'set-role' it would be the login role that replicates, whatever the token says`,
    );
  }
  try {
    parseRole(login.user);
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    const hint = error.hint === undefined ? '' : `: ${error.hint}`;
    throw new ConfigError(`${path}.login.user: ${error.message}${hint}`);
  }
}

/**
 * Reads and checks the authority of a `certificate` login.
 * @param path the login's place in the config, for the message
 * @throws ConfigError that names the option and the file
 */
export function checkAuthority(files: AuthorityFiles, path: string): void {
  try {
    loadAuthority(files);
  } catch (error) {
    if (error instanceof AuthorityError) throw new ConfigError(`${path}.${error.file}: ${error.message}`);
    throw error;
  }
}
