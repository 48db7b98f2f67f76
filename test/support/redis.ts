/** A Redis server of a test's own, which can be killed, hung and started again on the same port. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** How it is started. */
interface RedisServerOptions {
  /** Default none. */
  readonly password: string;
  /** More arguments. */
  readonly options: readonly string[];
}

/** It keeps nothing on disk. */
export class RedisServer {
  readonly port: number;
  readonly password: string;
  readonly #program: string;
  readonly #options: readonly string[];
  readonly #folder = mkdtempSync(join(tmpdir(), 'postern-redis-'));
  #child: ChildProcess | undefined;

  private constructor(
    program: string,
    port: number,
    { password = '', options = [] }: Partial<RedisServerOptions>,
  ) {
    this.#program = program;
    this.port = port;
    this.password = password;
    this.#options = options;
  }

  /** `program` is the path of redis-server. Stop it by {@link stop}. */
  static async start(program: string, options: Partial<RedisServerOptions> = {}): Promise<RedisServer> {
    const listener = net.createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as net.AddressInfo;
    listener.close();
    await once(listener, 'close');
    const server = new RedisServer(program, port, options);
    await server.start();
    return server;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it again, empty. */
  async start(): Promise<void> {
    const options = { port: this.port, bind: '127.0.0.1', dir: this.#folder, save: '', appendonly: 'no' };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    args.push(...this.#options);
    if (this.password !== '') args.push('--requirepass', this.password);
    this.#child = spawn(this.#program, args, { stdio: 'ignore' });
    while (!(await this.#answers())) await sleep(50);
  }

  async kill(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Takes connections and answers nothing. */
  hang(): void {
    this.#child?.kill('SIGSTOP');
  }

  goOn(): void {
    this.#child?.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Sends commands as words in lines, and gives the answers. */
  ask(...commands: readonly string[]): Promise<string> {
    const login = this.password === '' ? [] : [`auth ${this.password}`];
    return askRedis(this.port, ...login, ...commands);
  }

  async #answers(): Promise<boolean> {
    return (await this.ask('ping').catch(() => '')).includes('+PONG');
  }
}

/** Sends commands as words in lines to whatever speaks as Redis, and gives the answers. */
export async function askRedis(port: number, ...commands: readonly string[]): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  // A Sentinel knows no quit.
  socket.end([...commands, 'quit', ''].join('\r\n'));
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  return text;
}
