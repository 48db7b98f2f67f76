/** Whether plugins answer for each credential that a listener takes, in every scope. */
import { TOKEN_CREDENTIALS, credentialsOf } from '../credential.ts';
import type { Credential } from '../credential.ts';
import { ConfigError } from '../errors.ts';
import type { AnyPlugin } from '../plugin.ts';
import { pluginsOf, scopeCells } from '../scopes.ts';
import { providerInTheBox } from './plugin-order.ts';
import type { ResolvedConfig, ResolvedListener } from './resolved.ts';
import { alternatives } from './sentences.ts';

type Listener = Pick<ResolvedListener, 'name' | 'path' | 'auth'>;

/** The plugins of a database, for clients of one listener with one credential. */
interface Met {
  /** Undefined: one that no scope names. */
  readonly database: string | undefined;
  readonly plugins: readonly AnyPlugin[];
}

/**
 * Checks that for each credential that a listener takes some plugin says who comes with it, that clients of OAUTHBEARER are told
 * of one issuer, and that no plugin is for a credential that no listener takes.
 * @throws ConfigError with one line per mistake
 */
export function checkProviders(listeners: readonly Listener[], plugins: readonly AnyPlugin[]): void {
  const wrong = [
    ...idlePlugins(listeners, plugins),
    ...listeners.flatMap((listener) => unanswered(listener, plugins)),
  ];
  if (wrong.length > 0) throw new ConfigError(wrong.join('\n'));
}

/** The names of the listeners on which operators can open the console: it takes a token, and by OAUTHBEARER an issuer has to be announced for its name. */
export function consoleListeners({
  listeners,
  plugins,
  admin,
}: Pick<ResolvedConfig, 'listeners' | 'plugins' | 'admin'>): readonly string[] {
  const database = admin?.console;
  if (database === undefined) return [];
  const opens = ({ name, auth }: Listener): boolean => {
    const taken = credentialsOf(auth);
    if (taken.includes('password')) return true;
    const cell = { listener: name, database, credential: 'oauthbearer' } as const;
    return taken.includes('oauthbearer') && announces({ database, plugins: pluginsOf(cell, plugins) });
  };
  return listeners.filter(opens).map(({ name }) => name);
}

function metBy({ name }: Listener, credential: Credential, plugins: readonly AnyPlugin[]): readonly Met[] {
  return scopeCells(plugins, [{ name, auth: credential }]).map((cell) => ({
    database: cell.database,
    plugins: pluginsOf(cell, plugins),
  }));
}

function idlePlugins(listeners: readonly Listener[], plugins: readonly AnyPlugin[]): readonly string[] {
  // Plugins for tokens are never idle: they verify those of operators as well.
  const taken = new Set<Credential>([
    ...TOKEN_CREDENTIALS,
    ...listeners.flatMap(({ auth }) => credentialsOf(auth)),
  ]);
  return plugins.flatMap(({ name, credentials }) =>
    !credentials || credentials.some((one) => taken.has(one))
      ? []
      : [
          `plugins: '${name}' is for ${alternatives(credentials)}, which no listener takes: say so in listen.auth`,
        ],
  );
}

const EXAMPLE = "jwt({ issuers: [{ …, oauth: { scope: 'openid' } }] })";

const identifies = ({ plugins }: Met): boolean =>
  plugins.some(({ provides }) => provides?.includes('identity'));
const announces = ({ plugins }: Met): boolean => plugins.some((plugin) => plugin.announces);

function place({ database }: Met): string {
  return database === undefined ? 'for every database' : `for database '${database}'`;
}

/** What is wrong with the plugins for the credentials of one listener. */
function unanswered(listener: Listener, plugins: readonly AnyPlugin[]): readonly string[] {
  const taken = credentialsOf(listener.auth).map((credential) => ({
    credential,
    met: metBy(listener, credential, plugins),
  }));
  const identified = new Set(
    taken.flatMap(({ met }) => met.filter(identifies).map(({ database }) => database)),
  );
  return taken.flatMap(({ credential, met }) => {
    const why =
      credential === 'oauthbearer' ? whyNoIssuer(met) : whyUnidentified(credential, met, identified);
    return why === undefined ? [] : [`${listener.path}.auth: ${why}`];
  });
}

/**
 * A list of plugins may do without identities where the credential is a token. Where it identifies those who come with one
 * credential, those with another would have no identity.
 */
function whyUnidentified(
  credential: Credential,
  met: readonly Met[],
  identified: ReadonlySet<string | undefined>,
): string | undefined {
  const wanted = `'${credential}' needs a plugin that provides 'identity'`;
  const known = providerInTheBox('identity', credential);
  if (credential !== 'password' && !met.some(identifies)) return `${wanted}: ${known}`;
  const silent = met.find((one) => !identifies(one) && identified.has(one.database));
  return silent && `${wanted} ${place(silent)}: ${known}`;
}

function whyNoIssuer(met: readonly Met[]): string | undefined {
  const several = met.find(({ plugins }) => plugins.filter((plugin) => plugin.announces).length > 1);
  if (several) {
    const names = several.plugins.flatMap((plugin) => (plugin.announces ? [`'${plugin.name}'`] : []));
    return `'oauthbearer' has one issuer to announce, and ${names.join(' and ')} announce one each: give each a scope of its own by only()`;
  }
  if (!met.some(announces)) return `'oauthbearer' needs a plugin that announces an issuer: ${EXAMPLE}`;
  const silent = met.find((one) => identifies(one) && !announces(one));
  return silent && `'oauthbearer' needs a plugin that announces an issuer ${place(silent)}: ${EXAMPLE}`;
}
