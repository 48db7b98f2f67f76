/** What a Redis is asked, as it tells a client of MONITOR. */
import { once } from 'node:events';
import net from 'node:net';
import { askRedis } from './redis.ts';
import { until } from './until.ts';

/** A command and its arguments. */
export type RedisCommand = readonly string[];

/** One that listens. End it by {@link close}. */
export class RedisMonitor {
  readonly #port: number;
  readonly #socket: net.Socket;
  #text = '';
  #marks = 0;

  private constructor(port: number) {
    this.#port = port;
    this.#socket = net.connect(port, '127.0.0.1');
    this.#socket.on('data', (chunk: Buffer) => (this.#text += chunk.toString()));
  }

  static async start(port: number): Promise<RedisMonitor> {
    const monitor = new RedisMonitor(port);
    await once(monitor.#socket, 'connect');
    monitor.#socket.write('monitor\r\n');
    await until('it listens', () => monitor.#text.startsWith('+OK\r\n'));
    return monitor;
  }

  /** All that clients have asked since it was started, without what scripts do. */
  async commands(): Promise<readonly RedisCommand[]> {
    this.#marks += 1;
    const mark = `mark-${this.#marks}`;
    await askRedis(this.#port, `echo ${mark}`);
    await until('it has heard everything', () => this.#text.includes(`"${mark}"`));
    return this.#text
      .split('\r\n')
      .filter((line) => line.includes('] "') && !line.includes(' lua] '))
      .map((line) => [...line.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) => word));
  }

  close(): void {
    this.#socket.destroy();
  }
}
