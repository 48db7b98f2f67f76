/** What a running gateway cannot change about itself. */
import type { ResolvedConfig, ResolvedListener } from '../config/resolved.ts';
import { ConfigError } from '../errors.ts';

interface Bound {
  readonly path: string;
  readonly host: string;
  readonly port: number;
}

/** A sentence per difference between two addresses. */
function moved(before: Bound, after: Bound): readonly string[] {
  return (['host', 'port'] as const).flatMap((key) =>
    before[key] === after[key]
      ? []
      : [`${after.path}.${key}: ${after[key]} instead of ${before[key]} needs a restart`],
  );
}

function movedListeners(
  before: readonly ResolvedListener[],
  after: readonly ResolvedListener[],
): readonly string[] {
  const gone = before
    .filter(({ name }) => !after.some((one) => one.name === name))
    .map(({ name }) => `listen: to go without the listener '${name}' needs a restart`);
  const others = after.flatMap((listener) => {
    const same = before.find(({ name }) => name === listener.name);
    return same
      ? moved(same, listener)
      : [`${listener.path}: the new listener '${listener.name}' needs a restart`];
  });
  return [...gone, ...others];
}

function movedAdmin(before: ResolvedConfig['admin'], after: ResolvedConfig['admin']): readonly string[] {
  if (before && after) return moved({ ...before, path: 'admin' }, { ...after, path: 'admin' });
  if (!before && !after) return [];
  return [`admin: to go with${after ? '' : 'out'} it needs a restart`];
}

/** Refuses what only a restart can apply: other addresses. @throws ConfigError with one line per difference */
export function refuseRestart(before: ResolvedConfig, after: ResolvedConfig): void {
  const differences = [
    ...movedListeners(before.listeners, after.listeners),
    ...movedAdmin(before.admin, after.admin),
  ];
  if (differences.length > 0) throw new ConfigError(differences.join('\n'));
}
