/** Which credentials a listener takes: refuses what nobody could choose, and what no plugin could answer for. */
import { isIP } from 'node:net';
import { CREDENTIALS } from '../credential.ts';
import type { Credential, CredentialChoice, CredentialSigns } from '../credential.ts';
import { ConfigError } from '../errors.ts';
import type { ListenOptions } from '../listen.ts';
import type { AnyPlugin } from '../plugin.ts';
import { pluginsOf, scopeCells } from '../scopes.ts';
import type { ResolvedListener } from './resolved.ts';

/** A host name in a certificate or in SNI, or `*` and what is below it. */
const SERVER_NAME = /^(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/i;

/**
 * Checks `auth` of one listener by itself.
 * @param path the listener's place in the config, for the message
 * @throws ConfigError
 */
export function checkChoice({ auth, tls }: ListenOptions, path: string): void {
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
  const seen = new Set<string>();
  for (const [credential, signs] of others) {
    const at = `${path}.auth.${credential}`;
    if (!signs.servernames && signs.parameter !== true)
      throw new ConfigError(`${at}: nothing chooses it: say servernames, or parameter: true`);
    if (signs.servernames && !tls)
      throw new ConfigError(`${at}.servernames: need tls, in which clients say a server name`);
    checkServernames(signs, at, seen);
  }
}

function chosenBySigns(auth: CredentialChoice): readonly (readonly [Credential, CredentialSigns])[] {
  return CREDENTIALS.flatMap((credential) => {
    const signs = credential === auth.default ? undefined : auth[credential];
    return signs ? [[credential, signs] as const] : [];
  });
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

/** For operators: `password, oauthbearer by db.example or postern.auth`. */
export function choiceText(auth: NonNullable<ListenOptions['auth']>): string {
  if (typeof auth === 'string') return auth;
  const others = chosenBySigns(auth).map(([credential, { servernames = [], parameter }]) => {
    const signs = parameter === true ? [...servernames, 'postern.auth'] : servernames;
    return `${credential} by ${signs.join(' or ')}`;
  });
  return [auth.default, ...others].join(', ');
}

/**
 * Checks that clients of OAUTHBEARER are told of one issuer, and of the same at each step: in every scope of a listener that
 * takes it.
 * @throws ConfigError with one line per listener
 */
export function checkAnnouncements(
  listeners: readonly ResolvedListener[],
  plugins: readonly AnyPlugin[],
): void {
  const wrong = listeners.flatMap((listener) => {
    const why = takes(listener.auth, 'oauthbearer') ? whyNoIssuer(listener.name, plugins) : undefined;
    return why === undefined ? [] : [`${listener.path}.auth: ${why}`];
  });
  if (wrong.length > 0) throw new ConfigError(wrong.join('\n'));
}

function takes(auth: ListenOptions['auth'], credential: Credential): boolean {
  if (auth === undefined || typeof auth === 'string') return auth === credential;
  return auth.default === credential || auth[credential] !== undefined;
}

const EXAMPLE = "jwt({ issuers: [{ …, oauth: { scope: 'openid' } }] })";

/** What is wrong with the announcements on a listener; undefined if nothing is. */
function whyNoIssuer(listener: string, plugins: readonly AnyPlugin[]): string | undefined {
  const databases = new Set(scopeCells(plugins).map(({ database }) => database));
  const scopes = [...databases].map((database) => {
    const met = pluginsOf({ listener, database }, plugins);
    const announcing = met.filter(({ announces }) => announces).map(({ name }) => name);
    return { database, announcing, identifies: met.some(({ provides }) => provides?.includes('identity')) };
  });
  const several = scopes.find(({ announcing }) => announcing.length > 1);
  if (several) {
    const names = several.announcing.map((name) => `'${name}'`).join(' and ');
    return `'oauthbearer' has one issuer to announce, and ${names} announce one each: give each a scope of its own by only()`;
  }
  if (scopes.every(({ announcing }) => announcing.length === 0))
    return `'oauthbearer' needs a plugin that announces an issuer: ${EXAMPLE}`;
  const silent = scopes.find(({ announcing, identifies }) => identifies && announcing.length === 0);
  if (!silent) return undefined;
  const where = silent.database === undefined ? 'for every database' : `for database '${silent.database}'`;
  return `'oauthbearer' needs a plugin that announces an issuer ${where}: ${EXAMPLE}`;
}
