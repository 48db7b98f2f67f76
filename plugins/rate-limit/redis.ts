/** The connection to Redis: opened once for all who use it, opened again by itself, and gone with the last of them. */
import { readFile } from 'node:fs/promises';
import type { Redis } from 'ioredis';
import { ConfigError } from '../../core/index.ts';
import type { MaybePromise } from '../../core/index.ts';
import type { StorePolicy } from './store-policy.ts';

/** Milliseconds until the next try to connect, give or take a half: never all gateways at once, and soon after it is back. */
const RETRY_MS = 400;
const CONNECT_MS = 2_000;
/** A peer that owes an answer for so long is connected to anew: it may be another machine by now. Milliseconds. */
const SILENCE_MS = 5_000;

/** Loaded only where a store is configured: a gateway without one starts without them. */
async function load<T>(library: Promise<T>): Promise<T> {
  try {
    return await library;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new ConfigError('rateLimit.store: the package ioredis is not installed: npm install ioredis@6');
  }
}

/** Who hears of the connection. */
export interface RedisListener {
  readonly lost: (error: Error) => void;
  /** It can be asked. */
  readonly ready: () => void;
}

/** The password may have been replaced, which only a new connection notices. */
async function renew(client: Redis, password: () => MaybePromise<string>): Promise<void> {
  try {
    client.options.password = await password();
  } catch {
    // The last one may still be good.
  }
}

/**
 * Connects, or goes on trying in the background: a store that is away does not keep a gateway from starting. Nothing is
 * queued while there is no connection, and what was sent when it breaks has failed. A secret is read again for each try.
 * @throws ConfigError without ioredis; what reading the password throws
 */
export async function connectRedis(policy: StorePolicy, { lost, ready }: RedisListener): Promise<Redis> {
  const { Redis: Client } = await load(import('ioredis'));
  const { url, timeoutMs, password, ca } = policy;
  const secret = typeof password === 'function' ? await password() : password;
  const client: Redis = new Client(url, {
    ...(secret !== undefined && { password: secret }),
    ...(ca !== undefined && { tls: { ca: await readFile(ca) } }),
    connectionName: 'postern',
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_MS,
    socketTimeout: Math.max(SILENCE_MS, 2 * timeoutMs),
    retryStrategy: () => RETRY_MS * (0.5 + Math.random()),
  });
  client.on('error', lost);
  client.on('ready', ready);
  if (typeof password === 'function') client.on('reconnecting', () => void renew(client, password));
  // It has been heard as 'error', and is tried again.
  await client.connect().catch(() => {});
  return client;
}
