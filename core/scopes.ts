/** Which sessions a plugin sees. */
import { credentialsOf } from './contract/credential.ts';
import type { Credential } from './contract/credential.ts';
import type { ListenOptions } from './contract/listen.ts';
import type { AnyPlugin } from './contract/plugin.ts';
import type { Scope } from './contract/scope.ts';

/**
 * One combination of listener, database (by the name the client used) and credential, as far as plugins can tell them apart.
 * Undefined: one that no plugin names; where a client has sent no startup packet, there is neither database nor credential.
 */
export interface ScopeCell {
  readonly listener: string | undefined;
  readonly database: string | undefined;
  readonly credential: Credential | undefined;
}

/** What a cell is made of on the side of a listener. */
export type CellListener = Pick<ListenOptions, 'name' | 'auth'>;

function covers<T>(names: readonly T[] | undefined, name: T | undefined): boolean {
  return names === undefined || (name !== undefined && names.includes(name));
}

/** The plugins that sessions of a cell meet, in the order of the list. */
export function pluginsOf(
  { listener, database, credential }: ScopeCell,
  plugins: readonly AnyPlugin[],
): readonly AnyPlugin[] {
  return plugins.filter(
    ({ scope, credentials }) =>
      covers(scope?.listeners, listener) &&
      covers(scope?.databases, database) &&
      covers(scope?.credentials, credential) &&
      covers(credentials, credential),
  );
}

function named(plugins: readonly AnyPlugin[], of: 'listeners' | 'databases'): ReadonlySet<string> {
  return new Set(plugins.flatMap(({ scope }: { readonly scope?: Scope }) => scope?.[of] ?? []));
}

/** Databases that some scope names. */
export function databasesNamed(plugins: readonly AnyPlugin[]): ReadonlySet<string> {
  return named(plugins, 'databases');
}

/** Listeners for a list without a config: those that scopes name, and any other. */
function supposedListeners(plugins: readonly AnyPlugin[]): readonly CellListener[] {
  return [{}, ...[...named(plugins, 'listeners')].map((name) => ({ name }))];
}

/**
 * Every cell of a config that plugins tell apart: each listener with each credential that it takes, for the database that no
 * scope names first.
 * @param listeners Default: those that scopes name, and any other, each with `'password'`
 */
export function scopeCells(
  plugins: readonly AnyPlugin[],
  listeners: readonly CellListener[] = supposedListeners(plugins),
): readonly ScopeCell[] {
  const databases = [undefined, ...databasesNamed(plugins)];
  return listeners.flatMap(({ name: listener, auth }) =>
    credentialsOf(auth).flatMap((credential) =>
      databases.map((database) => ({ listener, database, credential })),
    ),
  );
}
