/** The databases that plugins answer themselves: whether their names are free, and where clients can open them. */
import { CREDENTIALS, credentialsOf } from '../contract/credential.ts';
import type { Credential } from '../contract/credential.ts';
import type { AnsweredDatabase } from '../contract/answered-database.ts';
import { ConfigError } from '../contract/errors.ts';
import type { AnyPlugin, PluginList } from '../contract/plugin.ts';
import { pluginsOf } from '../scopes.ts';
import type { ResolvedConfig, ResolvedListener } from './resolved.ts';

/** A database with its plugin. */
export interface Answered {
  readonly plugin: AnyPlugin;
  readonly name: string;
  readonly database: AnsweredDatabase;
}

function answeredBy(plugins: readonly AnyPlugin[]): readonly Answered[] {
  return plugins.flatMap((plugin) =>
    Object.entries(plugin.databases ?? {}).map(([name, database]) => ({ plugin, name, database })),
  );
}

/** Their names, of plugins that have not been checked. */
export function answeredNames(plugins: PluginList): readonly string[] {
  return plugins.flatMap((plugin) => (plugin ? Object.keys(plugin.databases ?? {}) : []));
}

/** Why nobody could open one; undefined where that is not so. */
function whyNot(
  { plugin, name, database }: Answered,
  { databaseNames, admin }: Pick<ResolvedConfig, 'databaseNames' | 'admin'>,
): string | undefined {
  if (databaseNames.includes(name)) return 'which is an entry of databases: give one of them another name';
  if (plugin.scope?.databases?.includes(name) === false)
    return 'which its only() leaves out: nobody could open it';
  if (database.operators === true && !admin?.operators)
    return 'for operators, and without admin.operators nobody is one';
  return undefined;
}

/** Checks that each can be opened, by its name and by its plugin alone. @throws ConfigError with one line per mistake */
export function checkAnswered(
  plugins: readonly AnyPlugin[],
  config: Pick<ResolvedConfig, 'databaseNames' | 'admin'>,
): void {
  const wrong = answeredBy(plugins).flatMap((one) => {
    const why = whyNot(one, config);
    return why === undefined
      ? []
      : [`plugins: '${one.plugin.name}' answers the database '${one.name}', ${why}`];
  });
  if (wrong.length > 0) throw new ConfigError(wrong.join('\n'));
}

/** Whether clients with a credential can open it on a listener: by OAUTHBEARER an issuer has to be announced for its name. */
function opens(
  { plugin, name }: Answered,
  listener: string,
  credential: Credential,
  plugins: readonly AnyPlugin[],
): boolean {
  const met = pluginsOf({ listener, database: name, credential }, plugins);
  return met.includes(plugin) && (credential !== 'oauthbearer' || met.some(({ announces }) => announces));
}

/** Each of them, with the names of the listeners on which it can be opened. */
export function answeredDatabases({
  listeners,
  plugins,
}: Pick<ResolvedConfig, 'listeners' | 'plugins'>): readonly (Answered & {
  readonly on: readonly string[];
})[] {
  return answeredBy(plugins).map((one) => {
    const { credentials = CREDENTIALS } = one.database;
    const opened = ({ name, auth }: ResolvedListener): boolean =>
      credentialsOf(auth).some(
        (credential) => credentials.includes(credential) && opens(one, name, credential, plugins),
      );
    return { ...one, on: listeners.filter(opened).map(({ name }) => name) };
  });
}
