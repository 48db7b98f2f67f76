/** A Redis, a replica of it that may fall behind, and three Sentinels that watch them under the name `fleet`. */
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { askRedis, RedisServer } from './redis.ts';

const SENTINELS = 3;

/** What is started. */
export interface WatchedRedis {
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly sentinelPorts: readonly number[];
  /** From now on the replica does not hear of changes. */
  fallBehind(): Promise<void>;
  /** Has the Sentinels make the replica the primary, while the primary lives. */
  failOver(): Promise<void>;
  stop(): Promise<void>;
}

/** One of them, with a folder of its own. */
class Sentinel {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #folder = mkdtempSync(join(tmpdir(), 'postern-sentinel-'));

  constructor(program: string, port: number, primary: RedisServer) {
    this.port = port;
    const file = join(this.#folder, 'sentinel.conf');
    const config = [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${this.#folder}`,
      `sentinel monitor fleet 127.0.0.1 ${primary.port} 2`,
      'sentinel down-after-milliseconds fleet 500',
      'sentinel failover-timeout fleet 2000',
    ];
    writeFileSync(file, config.join('\n'));
    this.#child = spawn(program, [file, '--sentinel'], { stdio: 'ignore' });
  }

  /** It knows the replica and the other Sentinels. */
  async knowsAll(): Promise<boolean> {
    const told = await askRedis(this.port, 'info sentinel').catch(() => '');
    return told.includes(`slaves=1,sentinels=${SENTINELS}`);
  }

  async stop(): Promise<void> {
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Resolves when the Sentinels know all, and the replica has all. `program` is the path of redis-server. */
export async function watchedRedis(program: string): Promise<WatchedRedis> {
  const primary = await RedisServer.start(program);
  const options = ['--replicaof', '127.0.0.1', String(primary.port)];
  const replica = await RedisServer.start(program, { options });
  while (!(await primary.ask('info replication')).includes('state=online')) await sleep(50);
  const sentinels: Sentinel[] = [];
  for (let n = 0; n < SENTINELS; n += 1) sentinels.push(new Sentinel(program, await freePort(), primary));
  for (const sentinel of sentinels) while (!(await sentinel.knowsAll())) await sleep(200);
  const sentinelPorts = sentinels.map(({ port }) => port);
  return {
    primary,
    replica,
    sentinelPorts,
    async fallBehind() {
      // Whoever is connected stays so; a replica that has to connect anew cannot.
      await primary.ask('config set requirepass another', 'client kill type replica');
    },
    async failOver() {
      const [port = 0] = sentinelPorts;
      while (!(await askRedis(port, 'sentinel failover fleet')).includes('+OK')) await sleep(200);
    },
    async stop() {
      await Promise.all(sentinels.map((sentinel) => sentinel.stop()));
      await Promise.all([primary.stop(), replica.stop()]);
    },
  };
}
