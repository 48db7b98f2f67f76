/**
 * The package manager that started a process by `npx` or a script of package.json. It puts a shell in between, and sends its SIGTERM to that:
 * the shell ends, the package manager as well, and the process behind them hears nothing.
 */
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/** How often it is looked whether they are still there, in milliseconds. */
const POLL_MS = 200;

const PACKAGE_MANAGERS = ['npm', 'npx', 'pnpm', 'pnpx', 'yarn', 'yarnpkg', 'bun', 'bunx'];
const SHELLS = ['sh', 'ash', 'bash', 'dash', 'ksh', 'zsh'];

/** A process as the system knows it. */
export interface Ancestor {
  readonly pid: number;
  readonly parent: number;
  /** Arguments, the program first. A process may have given itself another title. */
  readonly args: readonly string[];
}

/** Looks a process up; undefined where it is not there, or where the system does not tell. */
export type FindProcess = (pid: number) => Ancestor | undefined;

/** By Linux's proc(5). */
export const findProcess: FindProcess = (pid) => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name stands in parentheses and may have any characters in it.
    const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    return { pid, parent: Number(parent), args };
  } catch {
    return undefined;
  }
};

const nameOf = (path: string): string =>
  basename(path)
    .replace(/\.c?js$/, '')
    .replace(/-cli$/, '');

/** npm gives itself a title, such as `npm exec postern start`; others run as a script of Node. */
function isPackageManager({ args: [program = '', script = ''] }: Ancestor): boolean {
  const [title = ''] = program.split(' ');
  return [title, script].some((path) => PACKAGE_MANAGERS.includes(nameOf(path)));
}

const isShell = ({ args: [program = ''] }: Ancestor): boolean => SHELLS.includes(basename(program));

/** The package managers above a process, with the shells below them, from its parent up. */
export function packageManagersAbove(parent: number, find: FindProcess = findProcess): readonly Ancestor[] {
  const ancestors: Ancestor[] = [];
  let upTo = 0;
  for (let pid = parent; ; pid = ancestors.at(-1)?.parent ?? 0) {
    const one = pid > 0 ? find(pid) : undefined;
    if (!one || !(isShell(one) || isPackageManager(one))) return ancestors.slice(0, upTo);
    ancestors.push(one);
    // A shell above may end when it has started them, as that of ssh does.
    if (isPackageManager(one)) upTo = ancestors.length;
  }
}

/** Those of this process. Make it early: one that has gone before is not known. */
export class PackageManager {
  readonly #ancestors: readonly Ancestor[];
  readonly #find: FindProcess;
  readonly #parent: () => number;

  /** @param parent the id of the parent now. Default: that of this process */
  constructor(find: FindProcess = findProcess, parent: () => number = () => process.ppid) {
    this.#find = find;
    this.#parent = parent;
    this.#ancestors = packageManagersAbove(parent(), find);
  }

  /** A shell is in between, which does not pass SIGTERM on. */
  get swallowsSignals(): boolean {
    const [parent] = this.#ancestors;
    return parent !== undefined && !isPackageManager(parent);
  }

  /** Resolves when one of them has ended. Pending where there is none, and once `until` is aborted. */
  gone(until: AbortSignal): Promise<void> {
    if (this.#ancestors.length === 0) return new Promise(() => {});
    return new Promise((resolve) => {
      const poll = setInterval(() => {
        if (this.#complete) return;
        clearInterval(poll);
        resolve();
      }, POLL_MS).unref();
      until.addEventListener('abort', () => clearInterval(poll));
    });
  }

  /** Each is still the parent of the one below it. */
  get #complete(): boolean {
    let parent: number | undefined = this.#parent();
    for (const { pid } of this.#ancestors) {
      if (parent !== pid) return false;
      parent = this.#find(pid)?.parent;
    }
    return true;
  }
}
