/** Whether plugins answer for each credential that a listener takes, in every scope. */
import { TOKEN_CREDENTIALS, credentialsOf } from '../contract/credential.ts';
import type { Credential } from '../contract/credential.ts';
import { ConfigError } from '../contract/errors.ts';
import type { AnyPlugin } from '../contract/plugin.ts';
import { pluginsOf, scopeCells } from '../scopes.ts';
import { providerOf } from './known-plugins.ts';
import type { KnownPlugin } from './known-plugins.ts';
import type { ResolvedListener } from './resolved.ts';
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
 * @param known what messages may advise to list
 * @throws ConfigError with one line per mistake
 */
export function checkProviders(
  listeners: readonly Listener[],
  plugins: readonly AnyPlugin[],
  known: readonly KnownPlugin[] = [],
): void {
  const wrong = [
    ...idlePlugins(listeners, plugins),
    ...listeners.flatMap((listener) => unanswered(listener, plugins, known)),
  ];
  if (wrong.length > 0) throw new ConfigError(wrong.join('\n'));
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

const identifies = ({ plugins }: Met): boolean =>
  plugins.some(({ provides }) => provides?.includes('identity'));
const announces = ({ plugins }: Met): boolean => plugins.some((plugin) => plugin.announces);

function place({ database }: Met): string {
  return database === undefined ? 'for every database' : `for database '${database}'`;
}

/** What is wrong with the plugins for the credentials of one listener. */
function unanswered(
  listener: Listener,
  plugins: readonly AnyPlugin[],
  known: readonly KnownPlugin[],
): readonly string[] {
  const taken = credentialsOf(listener.auth).map((credential) => ({
    credential,
    met: metBy(listener, credential, plugins),
  }));
  const identified = new Set(
    taken.flatMap(({ met }) => met.filter(identifies).map(({ database }) => database)),
  );
  return taken.flatMap(({ credential, met }) => {
    const why =
      credential === 'oauthbearer'
        ? whyNoIssuer(met, known)
        : whyUnidentified(credential, met, { identified, known });
    return why === undefined ? [] : [`${listener.path}.auth: ${why}`];
  });
}

/** The databases for which somebody is identified, and the plugins that messages may advise. */
interface Identified {
  readonly identified: ReadonlySet<string | undefined>;
  readonly known: readonly KnownPlugin[];
}

/**
 * A list of plugins may do without identities where the credential is a token. Where it identifies those who come with one
 * credential, those with another would have no identity.
 */
function whyUnidentified(
  credential: Credential,
  met: readonly Met[],
  { identified, known }: Identified,
): string | undefined {
  const wanted = `'${credential}' needs a plugin that provides 'identity'`;
  const advice = advised(providerOf('identity', credential, known));
  if (credential !== 'password' && !met.some(identifies)) return `${wanted}${advice}`;
  const silent = met.find((one) => !identifies(one) && identified.has(one.database));
  return silent && `${wanted} ${place(silent)}${advice}`;
}

/** The end of a sentence about a plugin that lacks. */
function advised(list: string | undefined): string {
  return list === undefined ? '' : `: ${list}`;
}

function whyNoIssuer(met: readonly Met[], known: readonly KnownPlugin[]): string | undefined {
  const several = met.find(({ plugins }) => plugins.filter((plugin) => plugin.announces).length > 1);
  if (several) {
    const names = several.plugins.flatMap((plugin) => (plugin.announces ? [`'${plugin.name}'`] : []));
    return `'oauthbearer' has one issuer to announce, and ${names.join(' and ')} announce one each: give each a scope of its own by only()`;
  }
  const example = advised(known.find((plugin) => plugin.announces !== undefined)?.announces);
  if (!met.some(announces)) return `'oauthbearer' needs a plugin that announces an issuer${example}`;
  const silent = met.find((one) => identifies(one) && !announces(one));
  return silent && `'oauthbearer' needs a plugin that announces an issuer ${place(silent)}${example}`;
}
