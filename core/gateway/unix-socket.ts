/** The unix socket of a listener as PostgreSQL has it: `.s.PGSQL.<port>` in a folder, with a lock file beside it. */
import { chmodSync, lstatSync, readFileSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ConfigError } from '../errors.ts';

/** Where it is, and who may connect. */
export interface UnixSocketOptions {
  /** Where the listener stands in the config, for messages. */
  readonly path: string;
  readonly folder: string;
  readonly port: number;
  /** Permissions of the file. */
  readonly mode: number;
}

/** The lock files of this process, whose id in them tells nothing. */
const held = new Set<string>();
/** How often a lock file may be taken away by another process that starts at the same time. */
const MOST_TRIES = 10;

/** Belongs to one listener, from before it listens until it is closed. */
export class UnixSocket {
  readonly file: string;
  readonly #lock: string;
  readonly #options: UnixSocketOptions;
  #claimed = false;

  constructor(options: UnixSocketOptions) {
    this.#options = options;
    this.file = join(options.folder, `.s.PGSQL.${options.port}`);
    this.#lock = `${this.file}.lock`;
  }

  /** Makes the lock file, and removes a socket that is left over. @throws ConfigError */
  claim(): void {
    for (let tries = 1; !this.#locked(); tries += 1) {
      if (tries === MOST_TRIES) throw this.#wrong(`${this.#lock} cannot be had`);
      this.#removeStaleLock();
    }
    this.#claimed = true;
    held.add(this.#lock);
    try {
      this.#removeStaleSocket();
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Sets the permissions, once it listens. Before that they are what the umask leaves: nobody else's to write with the usual one. */
  permit(): void {
    chmodSync(this.file, this.#options.mode);
  }

  /** Removes the lock file; the socket goes when its server closes. Can be called again. */
  release(): void {
    if (!this.#claimed) return;
    this.#claimed = false;
    held.delete(this.#lock);
    rmSync(this.#lock, { force: true });
  }

  /** The lines are PostgreSQL's (`CreateLockFile`): it reads the process id of a lock file that it finds. */
  #locked(): boolean {
    const { folder, port } = this.#options;
    const started = Math.round(Date.now() / 1_000);
    const lines = [process.pid, process.cwd(), started, port, folder];
    try {
      writeFileSync(this.#lock, `${lines.join('\n')}\n`, { flag: 'wx', mode: 0o600 });
      return true;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'EEXIST') return false;
      if (code === 'ENOENT' || code === 'ENOTDIR') throw this.#wrong(`there is no folder ${folder}`);
      if (code === 'EACCES' || code === 'EROFS') throw this.#wrong(`this process may not write in ${folder}`);
      throw this.#wrong(message);
    }
  }

  /** As PostgreSQL: the process is gone, or it is this one or its parent, as after a restart of a container. */
  #removeStaleLock(): void {
    const pid = this.#lockedBy();
    if (pid === undefined) return;
    const own = pid === process.pid || pid === process.ppid;
    if (held.has(this.#lock) || (!own && isAlive(pid)))
      throw this.#wrong(`${this.file} is in use by process ${pid}`);
    rmSync(this.#lock, { force: true });
  }

  /** Undefined: it has gone meanwhile. */
  #lockedBy(): number | undefined {
    let text: string;
    try {
      text = readFileSync(this.#lock, 'utf8');
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return undefined;
      throw this.#wrong(message);
    }
    // A standalone PostgreSQL writes it negative.
    const pid = Math.abs(Number.parseInt(text, 10));
    if (pid > 0) return pid;
    throw this.#wrong(`${this.#lock} has no process id: if no other program starts here, remove it`);
  }

  #removeStaleSocket(): void {
    const found = lstatSync(this.file, { throwIfNoEntry: false });
    if (!found) return;
    if (!found.isSocket()) throw this.#wrong(`${this.file} is no socket: remove it`);
    unlinkSync(this.file);
  }

  #wrong(why: string): ConfigError {
    return new ConfigError(`${this.#options.path}.path: ${why}`);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
