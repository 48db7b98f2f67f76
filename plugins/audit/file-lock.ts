/** One writer per file: a socket beside it, which the system closes with its process, however that ends. */
import { once } from 'node:events';
import { lstat, open, unlink } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import type { Server } from 'node:net';
import path from 'node:path';
import { ConfigError } from '../../core/index.ts';

/** Longest address of a socket that every system takes, in bytes (`sun_path`). */
const LONGEST = 100;

/** One per sink. Nothing is locked on Windows, where sockets are no files. */
export class FileLock {
  readonly #file: string;
  readonly #name: string;
  #folder: FileHandle | undefined;
  #server: Server | undefined;

  /** `file` is what is locked; the socket has its name and `.lock`. */
  constructor(file: string) {
    this.#file = file;
    this.#name = `${file}.lock`;
  }

  /** Takes over at once what a crash has left. @throws ConfigError while another process, or this one, has it */
  async take(): Promise<void> {
    if (process.platform === 'win32') return;
    const address = await this.#address();
    try {
      if (await this.#listen(address)) return;
      if (await isAnswered(address)) throw this.#taken();
      // Nobody knows what else may have this name.
      if (!(await lstat(this.#name)).isSocket()) throw this.#unusable('it is no socket');
      await unlink(this.#name);
      if (!(await this.#listen(address))) throw this.#taken();
    } catch (error) {
      await this.release();
      throw error instanceof ConfigError ? error : this.#unusable(String(error));
    }
  }

  async release(): Promise<void> {
    const [server, folder] = [this.#server, this.#folder];
    this.#server = this.#folder = undefined;
    if (server) await new Promise((resolve) => server.close(resolve));
    await folder?.close();
  }

  /** Linux takes a way round where the path is too long. */
  async #address(): Promise<string> {
    if (Buffer.byteLength(this.#name) <= LONGEST || process.platform !== 'linux') return this.#name;
    this.#folder = await open(path.dirname(this.#name), 'r');
    return `/proc/self/fd/${this.#folder.fd}/${path.basename(this.#name)}`;
  }

  /** False if the address is in use, or was. */
  async #listen(address: string): Promise<boolean> {
    const server = createServer((socket) => socket.destroy());
    try {
      server.listen({ path: address, exclusive: true });
      await once(server, 'listening');
    } catch (error) {
      if (codeOf(error) === 'EADDRINUSE') return false;
      throw error;
    }
    server.unref();
    this.#server = server;
    return true;
  }

  #taken(): ConfigError {
    return new ConfigError(
      `audit.sink.file: another gateway writes to ${this.#file}: each one needs a file of its own`,
    );
  }

  #unusable(why: string): ConfigError {
    return new ConfigError(`audit.sink.file: ${this.#name} cannot be taken as a lock: ${why}`);
  }
}

/** Whether a process has the socket open. @throws Error where that cannot be known */
async function isAnswered(address: string): Promise<boolean> {
  const socket = connect(address);
  try {
    await once(socket, 'connect');
    return true;
  } catch (error) {
    if (codeOf(error) === 'ECONNREFUSED') return false;
    throw error;
  } finally {
    socket.on('error', () => {}).destroy();
  }
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;
