/** The parent's side of `supervisor.js`: a temporary folder and a process that never outlive this one. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { packageRoot } from '../../../core/package-root.ts';

/** A process to run in the folder. */
export interface Order {
  readonly command: string;
  readonly args: readonly string[];
  /** File that takes its output, appended. */
  readonly log: string;
  /** Run as this user and group; needs root. Default: as we are. */
  readonly uid: number | undefined;
}

interface Told {
  readonly folder?: string;
  readonly pid?: number;
  readonly exit?: number | string;
  readonly error?: string;
}

/** Settings that would change what a PostgreSQL program or the supervisor does. */
const FOREIGN = /^(PG|NODE_|LC_|LANG)/;

function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !FOREIGN.test(name));
  return { ...Object.fromEntries(kept), LC_ALL: 'C' };
}

/** Whether every user may enter a folder. */
function isOpen(folder: string): boolean {
  const above = dirname(folder);
  return (statSync(folder).mode & 0o001) !== 0 && (above === folder || isOpen(above));
}

/** The folder for temporary files. Root's own may be closed to another user, as `pam_tmpdir` makes it: `/tmp` then. */
function temporaryFolder(uid: number | undefined): string {
  return uid === undefined || isOpen(tmpdir()) ? tmpdir() : '/tmp';
}

/** A folder and at most one process in it; both end with `close`, and also when this process dies without it. */
export class Supervised {
  readonly #supervisor: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #folder = '';

  private constructor(supervisor: ChildProcess) {
    this.#supervisor = supervisor;
    if (!supervisor.stdout) throw new Error('the supervisor has no output');
    this.#lines = createInterface({ input: supervisor.stdout })[Symbol.asyncIterator]();
  }

  /** Makes the folder, `<tmp>/<name>-XXXXXX`, owned by `uid` where given. */
  static async open(name: string, uid: number | undefined): Promise<Supervised> {
    const file = join(packageRoot, 'test/support/embedded/supervisor.js');
    const args = [file, join(temporaryFolder(uid), `${name}-`), ...(uid === undefined ? [] : [String(uid)])];
    // Detached: a Ctrl-C in the terminal is for us alone, and we stop the rest in order.
    const supervisor = spawn(process.execPath, args, {
      detached: true,
      cwd: '/',
      env: environment(),
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const self = new Supervised(supervisor);
    self.#folder = (await self.#next()).folder ?? '';
    return self;
  }

  get folder(): string {
    return this.#folder;
  }

  /** Starts a process; resolves with its pid. @throws Error if it cannot be started or another one runs */
  async start(order: Order): Promise<number> {
    this.#supervisor.stdin?.write(`${JSON.stringify(order)}\n`);
    const { pid, error } = await this.#next();
    if (pid === undefined) throw new Error(`${order.command}: ${error ?? 'not started'}`);
    return pid;
  }

  /** Resolves when the process that runs has ended: its exit code, or the signal that ended it. */
  async ended(): Promise<number | string> {
    return (await this.#next()).exit ?? 'lost';
  }

  /** Stops the process (fast, then harder) and removes the folder. */
  async close(): Promise<void> {
    if (this.#supervisor.exitCode !== null || this.#supervisor.signalCode !== null) return;
    const exit = once(this.#supervisor, 'exit');
    this.#supervisor.stdin?.end();
    await exit;
  }

  async #next(): Promise<Told> {
    const line = await this.#lines.next();
    return line.done ? { error: 'the supervisor is gone' } : (JSON.parse(line.value) as Told);
  }
}
