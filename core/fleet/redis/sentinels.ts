/** Asks the Sentinels which server is the primary: the one before may go on answering for seconds, and loses what it is told then. */
import type { Redis } from 'ioredis';
import { lookup } from 'node:dns/promises';
import { sentinelOptions, library, retryMs } from './connection.ts';
import type { Connection, RedisAddress } from './connection.ts';

const ASKED_EVERY_MS = 1_000;

/** As one Sentinel has it. */
interface Primary {
  /** Of the failover that made it the primary: the Sentinel with the highest one knows best. */
  readonly epoch: number;
  readonly runId: string;
  readonly host: string;
  readonly port: number;
}

/** Calls `tookOver` each second in which the Sentinels have another primary than this connection, until what it returns is called. */
export async function watchPrimary(
  address: RedisAddress,
  connection: Connection,
  tookOver: () => void,
): Promise<() => void> {
  const Client = await library();
  const { name, ...options } = await sentinelOptions(address);
  const clients = address.sentinels.map((sentinel) => {
    const client = new Client({ ...sentinel, ...options, enableReadyCheck: false, retryStrategy: retryMs });
    // The password may have been replaced.
    client.on('reconnecting', () => void setPassword(client, address));
    // Those that are away are not asked.
    return client.on('error', () => undefined);
  });
  const ask = async (): Promise<void> => {
    const told = await Promise.all(clients.map((client) => primaryOf(client, name)));
    const newest = told.reduce((one, other) => (other && other.epoch > (one?.epoch ?? -1) ? other : one));
    if (newest && connection.redis.status === 'ready' && (await isAnother(newest, connection))) tookOver();
  };
  let asking = false;
  const timer = setInterval(() => {
    if (asking) return;
    asking = true;
    void ask().finally(() => (asking = false));
  }, ASKED_EVERY_MS).unref();
  return () => {
    clearInterval(timer);
    for (const client of clients) client.disconnect();
  };
}

async function setPassword({ options }: Redis, address: RedisAddress): Promise<void> {
  const { password } = await sentinelOptions(address);
  if (password != null) options.password = password;
}

async function primaryOf(client: Redis, name: string): Promise<Primary | undefined> {
  if (client.status !== 'ready') return undefined;
  const reply = await client.call('SENTINEL', 'MASTER', name).catch(() => undefined);
  if (!Array.isArray(reply)) return undefined;
  const told = (field: string): string => String(reply[reply.indexOf(field) + 1]);
  return {
    epoch: Number(told('config-epoch')),
    runId: told('runid'),
    host: told('ip'),
    port: Number(told('port')),
  };
}

/** A Sentinel hears seconds later that a server has started anew, which then is at the same address. */
async function isAnother({ runId, host, port }: Primary, { redis, server }: Connection): Promise<boolean> {
  const known = (await server()).runId;
  if (runId === '' || known === '' || runId === known) return false;
  const { remoteAddress, remotePort } = redis.stream as { remoteAddress?: string; remotePort?: number };
  if (port !== remotePort) return true;
  const addresses = await lookup(host, { all: true }).catch(() => undefined);
  return addresses !== undefined && addresses.every(({ address }) => address !== remoteAddress);
}
