/** Programs around a benchmark: run to their end, or beside it until they are stopped. */
import { spawn } from 'node:child_process';
import type { ChildProcess, SpawnOptions } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

/** What runs TypeScript, on every Node. */
const JITI = fileURLToPath(new URL('../../node_modules/jiti/lib/jiti-cli.mjs', import.meta.url));
const KILL_AFTER_MS = 10_000;

/** A program that runs beside the benchmark. */
export class Companion {
  readonly child: ChildProcess;
  readonly #closed: Promise<unknown>;

  constructor(program: string, args: readonly string[], options: SpawnOptions = {}) {
    this.child = spawn(program, args, { stdio: ['ignore', 'ignore', 'inherit'], ...options });
    this.#closed = once(this.child, 'close').catch(() => {});
  }

  /** A module of this folder in a process of its own, with which messages can be exchanged. */
  static module(file: string): Companion {
    const path = fileURLToPath(new URL(file, import.meta.url));
    return new Companion(process.execPath, [JITI, path], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  }

  /** Says something to a {@link module}, and gives its next message. @throws as {@link message} */
  ask(what: object): Promise<unknown> {
    this.child.send(what);
    return this.message();
  }

  /** Its process id. @throws Error where it could not be started */
  get pid(): number {
    if (this.child.pid === undefined) throw new Error(`${this.child.spawnfile} cannot be started`);
    return this.child.pid;
  }

  /** The next message of a {@link module}. @throws Error if it ends instead */
  async message(): Promise<unknown> {
    const ended = this.#closed.then(() => {
      throw new Error('a process of the benchmark has ended too early');
    });
    const [message] = (await Promise.race([once(this.child, 'message'), ended])) as unknown[];
    return message;
  }

  /** Resolves when it takes connections. @throws Error if it ends instead, or does not within ten seconds */
  async listens(port: number): Promise<void> {
    for (let i = 0; i < 200; i += 1) {
      if (this.child.exitCode !== null)
        throw new Error(`${this.child.spawnfile} ended with ${this.child.exitCode}`);
      if (await reachable(port)) return;
      await sleep(50);
    }
    throw new Error(`${this.child.spawnfile} does not listen on ${port}`);
  }

  /** SIGTERM, and SIGKILL for who does not go. Resolves when it is gone. */
  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    const timer = setTimeout(() => this.child.kill('SIGKILL'), KILL_AFTER_MS);
    await this.#closed;
    clearTimeout(timer);
  }
}

async function reachable(port: number): Promise<boolean> {
  const socket = net.connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** What {@link run} may be told. */
export interface RunOptions {
  /** More environment variables. */
  readonly env?: Readonly<Record<string, string>>;
  /** Ends the program. */
  readonly signal?: AbortSignal;
}

/** Runs a program to its end and gives what it printed. @throws Error with its complaints if it fails */
export function run(
  program: string,
  args: readonly string[],
  { env, signal }: RunOptions = {},
): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(signal && { signal }),
    });
    let out = '';
    let errors = '';
    child.stdout.on('data', (chunk) => (out += String(chunk)));
    child.stderr.on('data', (chunk) => (errors += String(chunk)));
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(out) : reject(new Error(`${program} ${args.join(' ')}: ${errors}`)),
    );
  });
}
