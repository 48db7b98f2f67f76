/** Connections to Redis or Valkey: opened again by themselves, and never a queue of what could not be sent. */
import type { Redis, RedisOptions } from 'ioredis';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import type { Secret } from '../../contract/database.ts';
import { ConfigError } from '../../contract/errors.ts';
import { serverOf, tooOld, UNKNOWN } from './server.ts';
import type { Server } from './server.ts';

/** Milliseconds until the next try to connect, give or take a half: never all instances at once, and soon after it is back. */
const RETRY_MS = 400;
/** One wait before the next try. */
export const retryMs = (): number => RETRY_MS * (0.5 + Math.random());
const CONNECT_MS = 2_000;
/** A peer that owes an answer for so long is connected to anew: it may be another machine by now. Milliseconds. */
const SILENCE_MS = 2_000;
/** A primary that has become a replica, or lost its replicas: the name leads to another one by now, or soon. */
const NOT_THE_PRIMARY = /READONLY|UNBLOCKED|NOREPLICAS|MASTERDOWN/;

/** Where the store is, and how long an answer is waited for. */
export interface RedisAddress {
  /** `redis://` or `rediss://`; with Sentinels, its host is the name under which they watch the primary. */
  readonly url: string;
  /** In place of that in `url`. */
  readonly password: Secret | undefined;
  /** A PEM file. */
  readonly ca: string | undefined;
  readonly sentinels: readonly { readonly host: string; readonly port: number }[];
  readonly sentinelPassword: Secret | undefined;
  readonly timeoutMs: number;
}

/** Answers have the form that they have by default. */
type Options = Omit<RedisOptions, 'replyMapping'>;

/** One connection, and why there is none. */
export interface Connection {
  readonly redis: Redis;
  /** The last error, while it is not connected; or why the server cannot be the store. */
  readonly problem: () => string | undefined;
  /** The one that it was connected to last. Never rejects. */
  readonly server: () => Promise<Server>;
  /** Connects anew, for that reason, unless it is about to: one that is broken off while it asks the Sentinels would not try again. */
  readonly renew: (reason: string) => void;
}

/** Loaded only where there is a fleet. */
export async function library(): Promise<typeof Redis> {
  try {
    return (await import('ioredis')).Redis;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new ConfigError('fleet.store: the package ioredis is not installed: npm install ioredis@6');
  }
}

/** A secret that cannot be fetched now may be as it was: then the server decides. */
async function fetched(secret: Secret | undefined, last?: string): Promise<string | undefined> {
  if (typeof secret !== 'function') return secret ?? last;
  try {
    return await secret();
  } catch {
    return last;
  }
}

async function tlsOf({ url, ca, sentinels }: RedisAddress): Promise<Options> {
  const { protocol, hostname } = new URL(url);
  if (protocol !== 'rediss:') return {};
  const trusted = ca === undefined ? {} : { ca: await readFile(ca, 'utf8') };
  if (sentinels.length > 0) return { tls: trusted, sentinelTLS: trusted, enableTLSForSentinelMode: true };
  // One address may have several servers, which choose by the name.
  return { tls: isIP(hostname.replace(/^\[|\]$/g, '')) ? trusted : { ...trusted, servername: hostname } };
}

/** What both kinds of connections have in the end. */
async function optionsOf(address: RedisAddress): Promise<Options> {
  const { url, sentinels } = address;
  const { hostname, port, username, password, pathname } = new URL(url);
  const secret = await fetched(address.password, decodeURIComponent(password));
  const where: Options =
    sentinels.length > 0
      ? { sentinels: sentinels.map((sentinel) => ({ ...sentinel })), name: decodeURIComponent(hostname) }
      : { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 6379) };
  const sentinelPassword = await fetched(address.sentinelPassword);
  return {
    ...where,
    ...(await tlsOf(address)),
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(secret !== undefined && secret !== '' && { password: secret }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    db: Number(pathname.slice(1) || 0),
  };
}

/** How a Sentinel is connected to, and the name of the primary that it is asked for. */
export async function sentinelOptions(address: RedisAddress): Promise<Options & { readonly name: string }> {
  const { name = '', sentinelTLS, sentinelPassword } = await optionsOf(address);
  return {
    name,
    ...(sentinelTLS && { tls: sentinelTLS }),
    ...(sentinelPassword && { password: sentinelPassword }),
    protocol: 2,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_MS,
    commandTimeout: CONNECT_MS,
  };
}

/**
 * A connection that is not opened yet.
 *
 * @param waitsMs how long one command may rightly take, in milliseconds: 0, or as long as it blocks
 */
export async function connection(address: RedisAddress, waitsMs: number): Promise<Connection> {
  const Client = await library();
  let problem: string | undefined = 'not connected yet';
  const options: Options = {
    ...(await optionsOf(address)),
    connectionName: 'postern-fleet',
    // Version 5 has no other, and so there is one form of answers.
    protocol: 2,
    lazyConnect: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: CONNECT_MS,
    socketTimeout: waitsMs + Math.max(SILENCE_MS, 2 * address.timeoutMs),
    retryStrategy: retryMs,
    sentinelCommandTimeout: CONNECT_MS,
    sentinelRetryStrategy: retryMs,
    reconnectOnError: (error) => NOT_THE_PRIMARY.test(error.message),
  };
  const redis = new Client(options);
  redis.on('error', (error: Error) => (problem = error.message));
  redis.on('close', () => (problem ??= 'the connection was closed'));
  let unusable: string | undefined;
  let server = Promise.resolve(UNKNOWN);
  redis.on('ready', () => {
    problem = undefined;
    // Before anything else that is asked of it.
    server = serverOf(redis);
    void server.then((told) => (unusable = tooOld(told)));
  });
  redis.on('reconnecting', () => void fetchAgain(redis, address));
  return {
    redis,
    problem: () => (redis.status === 'ready' ? unusable : problem),
    server: () => server,
    renew(reason) {
      if (redis.status !== 'ready') return;
      problem = reason;
      redis.disconnect(true);
    },
  };
}

/** Resolves when it is connected or has failed once: it goes on trying, with Sentinels even before it says that it has failed. */
export function open({ redis }: Connection): Promise<void> {
  return new Promise((resolve) => {
    redis.once('error', () => resolve());
    redis.connect().then(resolve, () => resolve());
  });
}

/** Passwords may have been replaced, which only a new connection notices. */
async function fetchAgain({ options }: Redis, address: RedisAddress): Promise<void> {
  const [password, sentinelPassword] = [options.password, options.sentinelPassword];
  options.password = await fetched(address.password, password ?? undefined);
  options.sentinelPassword = await fetched(address.sentinelPassword, sentinelPassword ?? undefined);
}
