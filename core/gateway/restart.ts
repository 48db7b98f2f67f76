/** What a running gateway cannot change about itself. */
import type { ResolvedAdmin, ResolvedConfig, ResolvedListener } from '../config/resolved.ts';
import { ConfigError } from '../contract/errors.ts';

interface Bound {
  readonly path: string;
  readonly host: string;
  readonly port: number;
  readonly mode?: number | undefined;
}

/** In the words of the config. */
function optionsOf({ host, port, mode }: Bound): Readonly<Record<string, string | number | undefined>> {
  if (mode === undefined) return { host, port };
  return { path: host, port, mode: `0o${mode.toString(8)}` };
}

/** A sentence per difference between two addresses. */
function moved(before: Bound, after: Bound): readonly string[] {
  const [was, is] = [optionsOf(before), optionsOf(after)];
  return [...new Set([...Object.keys(is), ...Object.keys(was)])].flatMap((key) =>
    was[key] === is[key]
      ? []
      : [`${after.path}.${key}: ${is[key] ?? 'none'} instead of ${was[key] ?? 'none'} needs a restart`],
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
  if (before && after)
    return [...moved({ ...before, path: 'admin' }, { ...after, path: 'admin' }), ...otherTls(before, after)];
  if (!before && !after) return [];
  return [`admin: to go with${after ? '' : 'out'} it needs a restart`];
}

/** A server of HTTP cannot become one of HTTPS, nor ask for certificates later. */
function otherTls(before: ResolvedAdmin, after: ResolvedAdmin): readonly string[] {
  const [was, is] = [before.tls, after.tls];
  if (!was !== !is) return [`admin.tls: to go with${is ? '' : 'out'} it needs a restart`];
  if ((was?.clientCa === undefined) === (is?.clientCa === undefined)) return [];
  return [`admin.tls.clientCa: to go with${is?.clientCa === undefined ? 'out' : ''} it needs a restart`];
}

/** A store that is asked anew needs another start of the instance. A secret that a function gives is read then. */
function otherFleet(before: ResolvedConfig['fleet'], after: ResolvedConfig['fleet']): readonly string[] {
  if (!before || !after)
    return before === after ? [] : [`fleet: to go with${after ? '' : 'out'} it needs a restart`];
  const keys = ['name', 'instance', 'secret', 'store', 'away', 'staleMs'] as const;
  return keys
    .filter((key) => JSON.stringify(before[key]) !== JSON.stringify(after[key]))
    .map((key) => `fleet.${key.replace(/Ms$/, '')}: another one needs a restart`);
}

/** Refuses what only a restart can apply: other addresses, another number of workers, another fleet. @throws ConfigError with one line per difference */
export function refuseRestart(before: ResolvedConfig, after: ResolvedConfig): void {
  const differences = [
    ...movedListeners(before.listeners, after.listeners),
    ...movedAdmin(before.admin, after.admin),
    ...otherFleet(before.fleet, after.fleet),
    ...(before.workers === after.workers
      ? []
      : [`workers: ${after.workers} instead of ${before.workers} needs a restart`]),
  ];
  if (differences.length > 0) throw new ConfigError(differences.join('\n'));
}
