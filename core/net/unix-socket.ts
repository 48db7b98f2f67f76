/** The unix socket of a listener in a folder, with a lock file beside it, as PostgreSQL has its own. */
import { chmodSync, lstatSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { ConfigError } from '../contract/errors.ts';
import { identityOf, moveToFree, removeExactly, unique } from './exclusive-file.ts';
import { LockFile } from './lock-file.ts';

/** Where it is, and who may connect. */
export interface UnixSocketOptions {
  /** Where the listener stands in the config, for messages. */
  readonly path: string;
  readonly folder: string;
  /** Name of the file in it. */
  readonly name: string;
  /** The one that stands in the name, for the lock file. 0: none. */
  readonly port: number;
  /** Permissions of the file. */
  readonly mode: number;
}

/** How often a lock file may be taken away by another process that starts at the same time. */
const MOST_TRIES = 10;

/** Belongs to one listener, from before it listens until it is closed. */
export class UnixSocket {
  readonly file: string;
  /**
   * Where the server binds, before the socket gets its name. libuv unlinks the path of a server that closes, whatever is there then: this name
   * is no other socket's, the final one may be by then. The config check has limited its length.
   */
  readonly bindFile: string;
  readonly #lock: LockFile;
  readonly #options: UnixSocketOptions;
  #identity: string | undefined;

  constructor(options: UnixSocketOptions) {
    this.#options = options;
    this.file = join(options.folder, options.name);
    this.bindFile = join(options.folder, `.s.${unique()}`);
    this.#lock = new LockFile(`${this.file}.lock`);
  }

  /** Makes the lock file, and removes a socket that is left over. @throws ConfigError */
  async claim(): Promise<void> {
    try {
      for (let tries = 1; !this.#locked(); tries += 1) {
        if (tries === MOST_TRIES) throw this.#wrong(`${this.#lock.file} cannot be had`);
        await this.#removeStaleLock();
      }
      await this.#removeStaleSocket();
    } catch (error) {
      this.release();
      throw this.#inWords(error);
    }
  }

  /** Gives the socket its permissions and then its name, once it listens. @throws ConfigError */
  publish(): void {
    try {
      // Where process ids tell nothing, as in containers that share the folder, another one may have replaced the lock.
      if (!this.#lock.own) throw this.#inUse();
      chmodSync(this.bindFile, this.#options.mode);
      const identity = identityOf(this.bindFile);
      if (!moveToFree(this.bindFile, this.file)) throw this.#inUse();
      this.#identity = identity;
    } catch (error) {
      throw this.#inWords(error);
    }
  }

  /** Removes socket and lock file if they are still this one's. Call it before the server closes: until then no other socket has its inode. Can be called again. */
  release(): void {
    const identity = this.#identity;
    this.#identity = undefined;
    try {
      if (identity !== undefined) removeExactly(this.file, identity);
      this.#lock.release();
    } catch {
      // The folder is gone or is not to be written any more. The next start removes what is left, or says why it cannot.
    }
  }

  /** The lines are PostgreSQL's (`CreateLockFile`): it reads the process id of a lock file that it finds. */
  #locked(): boolean {
    const { folder, port } = this.#options;
    const started = Math.round(Date.now() / 1_000);
    const lines = [process.pid, process.cwd(), started, port, folder];
    try {
      return this.#lock.take(`${lines.join('\n')}\n`);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT' || code === 'ENOTDIR') throw this.#wrong(`there is no folder ${folder}`);
      if (code === 'EACCES' || code === 'EROFS') throw this.#wrong(`this process may not write in ${folder}`);
      throw error;
    }
  }

  /**
   * As PostgreSQL: the process is gone, or it is this one or its parent, as after a restart of a container. Other than PostgreSQL it has to
   * be silent as well: in containers that share a folder all processes have the same id.
   */
  async #removeStaleLock(): Promise<void> {
    const found = this.#lock.find();
    if (found === undefined) return;
    const { file } = this.#lock;
    if (found === null) throw this.#wrong(`${file} is no regular file: remove it`);
    const { pid, identity, held } = found;
    if (pid === undefined)
      throw this.#wrong(`${file} has no process id: if no other program starts here, remove it`);
    const own = pid === process.pid || pid === process.ppid;
    if (held || (!own && isAlive(pid))) throw this.#wrong(`${this.file} is in use by process ${pid}`);
    if (await accepts(this.file)) throw this.#inUse();
    removeExactly(file, identity);
  }

  async #removeStaleSocket(): Promise<void> {
    const identity = identityOf(this.file);
    if (identity === undefined) return;
    if (!lstatSync(this.file, { throwIfNoEntry: false })?.isSocket())
      throw this.#wrong(`${this.file} is no socket: remove it`);
    if (await accepts(this.file)) throw this.#inUse();
    removeExactly(this.file, identity);
  }

  #inUse(): ConfigError {
    return this.#wrong(`${this.file} is in use by another program`);
  }

  #inWords(error: unknown): ConfigError {
    if (error instanceof ConfigError) return error;
    const { code, syscall, path, message } = error as NodeJS.ErrnoException;
    const refused = code === 'EACCES' || code === 'EPERM' || code === 'EROFS';
    return this.#wrong(refused ? `this process may not ${syscall} ${path}` : message);
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

/** Whether a program listens on a socket: all but a refusal, such as a full queue, says so. */
function accepts(file: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(file);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', ({ code }: NodeJS.ErrnoException) => {
      resolve(code !== 'ECONNREFUSED' && code !== 'ENOENT');
    });
  });
}
