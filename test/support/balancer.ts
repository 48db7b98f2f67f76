/** HAProxy in front of gateways, as they run behind a balancer: PROXY v2, and health by `/readyz`. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** Where one gateway listens. */
export interface Balanced {
  readonly port: number;
  readonly adminPort: number;
}
/** One that is not asked at an `adminPort` is taken for ready. */
type Gateway = Pick<Balanced, 'port'> & Partial<Balanced>;

/** How often it asks each gateway, in milliseconds. */
export const INTERVAL_MS = 200;

/** A login that meets a gateway that does not listen is not tried again elsewhere: it would hide that it was sent there. */
const configFor = (port: number, socket: string, gateways: readonly Gateway[]): string => `global
  stats socket ${socket}
defaults
  # Under load an answer may take longer than it is until the next question.
  timeout check 10s
  mode tcp
  retries 0
  timeout connect 20s
  timeout client 5m
  timeout server 5m
listen postgres
  bind 127.0.0.1:${port}
  balance leastconn
  option httpchk GET /readyz
  default-server send-proxy-v2 inter ${INTERVAL_MS}ms fall 1 rise 1
${gateways.map((one, i) => `  server gateway${i + 1} 127.0.0.1:${one.port}${checkOf(one)}`).join('\n')}
`;

/** Also while it says that it is not ready, clients come to one that is not asked. */
const checkOf = ({ adminPort }: Gateway): string =>
  adminPort === undefined ? '' : ` check port ${adminPort}`;

/** One running HAProxy. */
export class Balancer {
  readonly port: number;
  readonly #folder: string;
  readonly #child: ChildProcess;

  private constructor(program: string, port: number, gateways: readonly Gateway[]) {
    this.port = port;
    this.#folder = mkdtempSync(join(tmpdir(), 'postern-haproxy-'));
    const config = join(this.#folder, 'haproxy.cfg');
    writeFileSync(config, configFor(port, this.#socket, gateways));
    this.#child = spawn(program, ['-db', '-q', '-f', config], { stdio: 'ignore' });
  }

  /** Starts it, and waits until it has found every gateway ready. */
  static async start(program: string, gateways: readonly Gateway[]): Promise<Balancer> {
    const balancer = new Balancer(program, await freePort(), gateways);
    await balancer.finds(gateways.map(({ adminPort }) => (adminPort === undefined ? 'no check' : 'UP')));
    return balancer;
  }

  /** Resolves when it finds its gateways so, in the order in which they were given. */
  async finds(states: readonly ('UP' | 'DOWN' | 'no check')[]): Promise<void> {
    const finds = async (): Promise<boolean> => String(await this.#states()) === String(states);
    await until(`the balancer finds ${String(states)}`, finds);
  }

  async remove(): Promise<void> {
    const ended = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await ended;
    rmSync(this.#folder, { recursive: true });
  }

  get #socket(): string {
    return join(this.#folder, 'stats.sock');
  }

  async #states(): Promise<readonly string[]> {
    const socket = net.connect(this.#socket);
    socket.end('show stat -1 4 -1\n');
    const [head = '', ...lines] = (await text(socket).catch(() => '')).trim().split('\n');
    const at = head.split(',').indexOf('status');
    return lines.map((line) => line.split(',')[at] ?? '');
  }
}
