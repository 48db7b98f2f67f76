/** A Redis, a replica of it that may fall behind, and a Sentinel that watches them under the name `fleet`. */
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './free-port.ts';
import { askRedis, RedisServer } from './redis.ts';

/** What is started. */
export interface WatchedRedis {
  readonly primary: RedisServer;
  readonly replica: RedisServer;
  readonly sentinelPort: number;
  /** From now on the replica does not hear of changes. */
  fallBehind(): Promise<void>;
  stop(): Promise<void>;
}

/** Resolves when the Sentinel knows the replica, and that has all. `program` is the path of redis-server. */
export async function watchedRedis(program: string): Promise<WatchedRedis> {
  const primary = await RedisServer.start(program);
  const options = ['--replicaof', '127.0.0.1', String(primary.port)];
  const replica = await RedisServer.start(program, { options });
  const sentinelPort = await freePort();
  const folder = mkdtempSync(join(tmpdir(), 'postern-sentinel-'));
  const file = join(folder, 'sentinel.conf');
  const config = [
    `port ${sentinelPort}`,
    'bind 127.0.0.1',
    `dir ${folder}`,
    `sentinel monitor fleet 127.0.0.1 ${primary.port} 1`,
    'sentinel down-after-milliseconds fleet 500',
    'sentinel failover-timeout fleet 2000',
  ];
  writeFileSync(file, config.join('\n'));
  const sentinel = spawn(program, [file, '--sentinel'], { stdio: 'ignore' });
  while (!(await primary.ask('info replication')).includes('state=online')) await sleep(50);
  const sees = (): Promise<string> => askRedis(sentinelPort, 'info sentinel').catch(() => '');
  while (!(await sees()).includes('slaves=1')) await sleep(200);
  return {
    primary,
    replica,
    sentinelPort,
    async fallBehind() {
      // Whoever is connected stays so; a replica that has to connect anew cannot.
      await primary.ask('config set requirepass another', 'client kill type replica');
    },
    async stop() {
      sentinel.kill('SIGKILL');
      await once(sentinel, 'exit');
      await Promise.all([primary.stop(), replica.stop()]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
