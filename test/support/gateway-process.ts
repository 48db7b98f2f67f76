/** The gateway as an operator runs it: the command in a process of its own, its config file outside the repository. */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import type { LogLine } from './gateway.ts';
import { childrenOf } from './processes.ts';

const shim = fileURLToPath(new URL('../../core/cli/postern.js', import.meta.url));

/** Whether the system tells about processes in `/proc`. */
export const hasProc = process.platform === 'linux';

/** What is put into the folder, and around the process. */
export interface GatewayFiles {
  /** Text of `gateway.config.ts`. */
  readonly config: string;
  /** Texts of the files beside it, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** More environment variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** More arguments of `postern start`. */
  readonly args?: readonly string[];
  /** The whole command line, run in the folder. Default: this Node runs `postern start` with the config and `args`. */
  readonly command?: readonly [string, ...string[]];
}

/** One running `postern start`. */
export class GatewayProcess {
  readonly folder: string;
  readonly pid: number;
  /** Everything written to standard output so far. */
  log = '';
  /** Everything written to standard error so far. */
  complaints = '';
  readonly #child: ChildProcessByStdio<null, Readable, Readable>;
  readonly #ended: Promise<unknown>;
  readonly #exited: Promise<unknown>;

  private constructor(folder: string, { env, args = [], command }: GatewayFiles) {
    this.folder = folder;
    const usual = [shim, 'start', '--config', join(folder, 'gateway.config.ts'), ...args];
    const [program, ...behind] = command ?? [process.execPath, ...usual];
    this.#child = spawn(program, behind, {
      cwd: folder,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.pid = this.#child.pid ?? 0;
    this.#child.stdout.on('data', (chunk: Buffer) => (this.log += String(chunk)));
    this.#child.stderr.on('data', (chunk: Buffer) => (this.complaints += String(chunk)));
    this.#ended = once(this.#child, 'close');
    this.#exited = once(this.#child, 'exit');
  }

  /** Writes the files, starts the command and waits until it listens. */
  static async start(given: GatewayFiles): Promise<GatewayProcess> {
    const { config, files = {} } = given;
    const folder = mkdtempSync(join(tmpdir(), 'postern-e2e-'));
    for (const [name, text] of Object.entries({ ...files, 'gateway.config.ts': config })) {
      writeFileSync(join(folder, name), text);
    }
    const gateway = new GatewayProcess(folder, given);
    while (gateway.lines('listening').length === 0) {
      await Promise.race([once(gateway.#child.stdout, 'data'), gateway.#ended]);
      if (gateway.#child.exitCode !== null) throw new Error(gateway.complaints + gateway.log);
    }
    return gateway;
  }

  /** The port of the first listener. */
  get port(): number {
    return Number(this.lines('listening')[0]?.['port']);
  }

  /** Lines of the log with this `msg`. */
  lines(msg: string): LogLine[] {
    const whole = this.log.split('\n').slice(0, -1);
    return whole.map((line) => JSON.parse(line) as LogLine).filter((line) => line['msg'] === msg);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves with the exit code when the process is gone, or with the name of the signal that killed it. */
  async ended(): Promise<number | NodeJS.Signals | null> {
    await this.#ended;
    return this.#child.exitCode ?? this.#child.signalCode;
  }

  /** As {@link ended}, and does not wait for what nobody reads. */
  async exited(): Promise<number | NodeJS.Signals | null> {
    await this.#exited;
    return this.#child.exitCode ?? this.#child.signalCode;
  }

  /** Puts another text of the config in place in one step, as most editors do. */
  replaceConfig(edit: (text: string) => string): void {
    const [config, next] = [join(this.folder, 'gateway.config.ts'), join(this.folder, 'new')];
    writeFileSync(next, edit(readFileSync(config, 'utf8')));
    renameSync(next, config);
  }

  /** The log's lines of this kind, as soon as there are so many. */
  async linesWhen(msg: string, count: number): Promise<readonly LogLine[]> {
    await expect.poll(() => this.lines(msg).length).toBe(count);
    return this.lines(msg);
  }

  get #hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Reads standard output no more, or closes it. */
  loseReader(how: 'stalls' | 'goes'): void {
    if (how === 'goes') this.#child.stdout.destroy();
    else this.#child.stdout.pause();
  }

  /** After a reader that stalled. */
  readOn(): void {
    this.#child.stdout.resume();
  }

  /** Resident memory in bytes, now and at its highest since {@link forgetPeak}. */
  get memory(): { readonly now: number; readonly peak: number } {
    const text = readFileSync(`/proc/${this.pid}/status`, 'utf8');
    const of = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(text)?.[1]) * 1024;
    return { now: of('VmRSS'), peak: of('VmHWM') };
  }

  /** The highest value starts anew from what is used now. */
  forgetPeak(): void {
    writeFileSync(`/proc/${this.pid}/clear_refs`, '5');
  }

  /** Open files and sockets, those of its workers included. */
  get descriptors(): number {
    const processes = [this.pid, ...childrenOf(this.pid)];
    return processes.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);
  }

  /** Ends it at once, however it is, with its workers, as the end of a machine does; and removes its folder. */
  async remove(): Promise<void> {
    const workers = this.#hasEnded ? [] : childrenOf(this.pid);
    this.signal('SIGKILL');
    for (const pid of workers) killIfThere(pid);
    this.readOn();
    await this.#ended;
    rmSync(this.folder, { recursive: true });
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** Compiles the checkout where that is needed, so that no test waits for it: for `beforeAll`. @throws Error if that fails */
export function prepareCheckout(): void {
  const { status } = spawnSync(process.execPath, [shim, '--prepare'], { stdio: 'inherit' });
  if (status !== 0) throw new Error('the checkout does not compile');
}
