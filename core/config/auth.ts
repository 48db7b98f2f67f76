/** Which credentials a listener takes: refuses what no client could choose or show. */
import { isIP } from 'node:net';
import { CREDENTIALS, chosenBySigns, credentialsOf } from '../contract/credential.ts';
import type { CredentialSigns } from '../contract/credential.ts';
import { ConfigError } from '../contract/errors.ts';
import type { ListenOptions } from '../contract/listen.ts';

/** A host name in a certificate or in SNI, or `*` and what is below it. */
const SERVER_NAME = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/i;

/**
 * Checks `auth` of one listener by itself.
 * @param path the listener's place in the config, for the message
 * @throws ConfigError
 */
export function checkChoice({ auth, tls }: ListenOptions, path: string): void {
  checkCertificate(auth, tls, path);
  if (auth === undefined || typeof auth === 'string') return;
  const others = chosenBySigns(auth);
  if (auth[auth.default])
    throw new ConfigError(`${path}.auth.${auth.default}: is the default, and needs no sign`);
  if (others.length === 0) {
    const other = CREDENTIALS.find((one) => one !== auth.default) ?? '';
    const example = `{ default: '${auth.default}', ${other}: { servernames: ['db.example'] } }`;
    throw new ConfigError(
      `${path}.auth: nothing is chosen but the default: write '${auth.default}', or say ${example}`,
    );
  }
  const seen: Seen = { servernames: new Set(), users: new Set() };
  for (const [credential, signs] of others) {
    const at = `${path}.auth.${credential}`;
    if (!signs.servernames && !signs.users && signs.parameter !== true)
      throw new ConfigError(`${at}: nothing chooses it: say servernames, users, or parameter: true`);
    if (signs.servernames && !tls)
      throw new ConfigError(`${at}.servernames: need tls, in which clients say a server name`);
    checkServernames(signs, at, seen.servernames);
    checkUsers(signs, at, seen.users);
  }
}

/** Signs that were met already: each chooses one credential. */
interface Seen {
  readonly servernames: Set<string>;
  readonly users: Set<string>;
}

/** Where the gateway asks for no certificates, no client can show one. */
function checkCertificate(auth: ListenOptions['auth'], tls: ListenOptions['tls'], path: string): void {
  if (!credentialsOf(auth).includes('certificate') || tls?.clientCa !== undefined) return;
  throw new ConfigError(
    `${path}.auth: 'certificate' needs ${path}.tls.clientCa, the authorities of client certificates`,
  );
}

function checkServernames({ servernames = [] }: CredentialSigns, at: string, seen: Set<string>): void {
  for (const [place, name] of servernames.entries()) {
    const where = `${at}.servernames[${place}]`;
    if (isIP(name) !== 0) throw new ConfigError(`${where}: '${name}' is an address, which is no server name`);
    if (!SERVER_NAME.test(name)) throw new ConfigError(`${where}: '${name}' is no server name`);
    if (seen.has(name.toLowerCase())) throw new ConfigError(`${where}: '${name}' comes twice`);
    seen.add(name.toLowerCase());
  }
}

function checkUsers({ users = [] }: CredentialSigns, at: string, seen: Set<string>): void {
  for (const [place, user] of users.entries()) {
    if (seen.has(user)) throw new ConfigError(`${at}.users[${place}]: '${user}' comes twice`);
    seen.add(user);
  }
}

/** For operators: `password, oauthbearer by db.example or postern.auth`. */
export function choiceText(auth: NonNullable<ListenOptions['auth']>): string {
  if (typeof auth === 'string') return auth;
  const others = chosenBySigns(auth).map(([credential, { servernames = [], parameter, users = [] }]) => {
    const named = users.map((user) => `user ${user}`);
    const signs = [...servernames, ...(parameter === true ? ['postern.auth'] : []), ...named];
    return `${credential} by ${signs.join(' or ')}`;
  });
  return [auth.default, ...others].join(', ');
}
