/** The threads of libuv at the end of the process. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Queries to name servers, and calls of the file system. */
const REQUESTS = ['GetAddrInfoReqWrap', 'GetNameInfoReqWrap', 'FSReqCallback', 'FSReqPromise'];
/** How long those may take that are under way, in milliseconds. */
const MOST_MS = 500;
const POLL_MS = 5;

/** From Node 22.15 on: another program takes the place of this one. */
type Execve = (file: string, args: readonly string[], env: Readonly<Record<string, string>>) => never;

const busy = (): boolean => process.getActiveResourcesInfo().some((name) => REQUESTS.includes(name));

/**
 * Call it when nothing is left to do but `process.exit(code)`, which waits for every thread: for many seconds where a name server or a network
 * file system does not answer. Resolves when no thread is at work. If one goes on for too long, the process ends here: with `code`, or
 * before Node 22.15 as SIGTERM ends it. Resolves in that case as well where the system does not allow that, as to the first process of
 * a container.
 */
export async function leaveThreads(code: number): Promise<void> {
  for (const until = performance.now() + MOST_MS; busy() && performance.now() < until;) await sleep(POLL_MS);
  if (!busy()) return;
  const { execve } = process as { readonly execve?: Execve };
  execve?.call(process, process.execPath, [process.execPath, '-e', `process.exitCode = ${code}`], {});
  process.removeAllListeners('SIGTERM');
  process.kill(process.pid, 'SIGTERM');
}
