/** Sockets that a service manager has bound before the process began, as systemd's socket units do (sd_listen_fds(3)). */
import { ConfigError } from '../contract/errors.ts';

/** The first descriptor that is passed, SD_LISTEN_FDS_START. */
const FIRST = 3;

const VARIABLES = ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'] as const;

/** Their names, in the order of their descriptors; none where they are for another process. */
function namesIn(env: NodeJS.ProcessEnv, pid: number): readonly string[] {
  const [forPid, count, names = ''] = VARIABLES.map((name) => env[name]);
  if (count === undefined || Number(forPid) !== pid) return [];
  const given = names.split(':');
  return Array.from({ length: Number(count) }, (_, i) => given[i] ?? '');
}

/**
 * The descriptors of sockets that were passed to this process, by the listener that takes each: the one of its name (`FileDescriptorName=`), or the
 * only listener, where there is one, and one socket. Takes the variables out of `env`, so that no other process takes them for its own.
 * @throws ConfigError where a socket has no listener
 */
export function inheritedSockets(
  listeners: readonly { readonly name: string }[],
  env: NodeJS.ProcessEnv = process.env,
  pid = process.pid,
): ReadonlyMap<string, number> {
  const passed = namesIn(env, pid);
  for (const name of VARIABLES) delete env[name];
  const names = listeners.map(({ name }) => name);
  const isOnly = passed.length === 1 && names.length === 1;
  const taken = new Map<string, number>();
  for (const [i, name] of passed.entries()) {
    const listener = isOnly ? names[0] : name;
    if (listener === undefined || !names.includes(listener) || taken.has(listener))
      throw new ConfigError(
        `listen: a socket called '${name}' was passed (LISTEN_FDNAMES), and the listeners are ${names.join(', ')}; each takes one`,
      );
    taken.set(listener, FIRST + i);
  }
  return taken;
}
