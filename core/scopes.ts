/** Which sessions a plugin sees. */
import type { AnyPlugin, Scope } from './plugin.ts';

/** Says whether a scope covers sessions of this listener to this database, by the name the client used. */
export function inScope(scope: Scope | undefined, listener: string, database: string): boolean {
  const listenerFits = scope?.listeners?.includes(listener) ?? true;
  return listenerFits && (scope?.databases?.includes(database) ?? true);
}

/** One combination of listener and database as far as scopes can tell them apart; undefined: any that no scope names. */
export interface ScopeCell {
  readonly listener: string | undefined;
  readonly database: string | undefined;
}

function named(plugins: readonly AnyPlugin[], of: keyof Scope): ReadonlySet<string | undefined> {
  return new Set([undefined, ...plugins.flatMap((plugin) => plugin.scope?.[of] ?? [])]);
}

/** Every cell that the scopes of a plugin list tell apart, the one that no scope names first. */
export function scopeCells(plugins: readonly AnyPlugin[]): readonly ScopeCell[] {
  const databases = [...named(plugins, 'databases')];
  return [...named(plugins, 'listeners')].flatMap((listener) =>
    databases.map((database) => ({ listener, database })),
  );
}

/** The plugins that sessions of a cell meet, in the order of the list. */
export function pluginsOf(cell: ScopeCell, plugins: readonly AnyPlugin[]): readonly AnyPlugin[] {
  return plugins.filter(({ scope }) => {
    const listenerFits =
      !scope?.listeners || (cell.listener !== undefined && scope.listeners.includes(cell.listener));
    const databaseFits =
      !scope?.databases || (cell.database !== undefined && scope.databases.includes(cell.database));
    return listenerFits && databaseFits;
  });
}
