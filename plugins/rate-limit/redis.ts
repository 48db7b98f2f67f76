/** The connection to Redis: opened once for all who use it, opened again by itself, and gone with the last of them. */
import type { Redis } from 'ioredis';
import { ConfigError } from '../../core/index.ts';
import type { StorePolicy } from './store-policy.ts';

/** Milliseconds until the next try to connect: double each time, and never all gateways at once. */
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 2_000;
const CONNECT_MS = 2_000;
/** A peer that owes an answer for so long is connected to anew: it may be another machine by now. Milliseconds. */
const SILENCE_MS = 5_000;

function pauseMs(tries: number): number {
  return Math.min(FIRST_RETRY_MS * 2 ** (tries - 1), LONGEST_RETRY_MS) * (0.5 + Math.random());
}

/** Loaded only where a store is configured: a gateway without one starts without them. */
async function load<T>(library: Promise<T>): Promise<T> {
  try {
    return await library;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new ConfigError('rateLimit.store: the package ioredis is not installed: npm install ioredis');
  }
}

/**
 * Connects, or goes on trying in the background: a store that is away does not keep a gateway from starting. Nothing is
 * queued while there is no connection, and what was sent when it breaks has failed.
 * @throws ConfigError without ioredis; what reading the password throws
 */
export async function connectRedis(policy: StorePolicy, lost: (error: Error) => void): Promise<Redis> {
  const { Redis: Client } = await load(import('ioredis'));
  const { url, timeoutMs, password } = policy;
  const secret = typeof password === 'function' ? await password() : password;
  const client = new Client(url, {
    ...(secret !== undefined && { password: secret }),
    connectionName: 'postern',
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    commandTimeout: timeoutMs,
    connectTimeout: CONNECT_MS,
    socketTimeout: Math.max(SILENCE_MS, 2 * timeoutMs),
    retryStrategy: pauseMs,
  });
  client.on('error', lost);
  // It has been heard as 'error', and is tried again.
  await client.connect().catch(() => {});
  return client;
}
