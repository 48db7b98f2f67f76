/** The options of `rateLimit()`, checked once at boot and turned into limits. */
import {
  Networks,
  badOption,
  milliseconds,
  parseNetwork,
  readChoice,
  readDuration,
  readFlag,
  readInteger,
  readList,
  readObject,
  readParsed,
} from '../../core/index.ts';
import type { Bucket } from './bucket.ts';
import type { Per, RateLimitOptions } from './options.ts';
import { bucketOf, byteBucketOf } from './bucket-options.ts';
import type { What } from './refusal.ts';
import { storeOf } from './store-policy.ts';
import type { StorePolicy } from './store-policy.ts';

/** One limit. */
export interface LimitPolicy {
  /** Equal limits of two configs, or of two gateways, count together. */
  readonly id: string;
  readonly what: What;
  readonly per: Per;
  /** As in the config or the token. */
  readonly text: string;
  readonly bucket: Bucket;
  /** 0: over the limit is refused. */
  readonly maxDelayMs: number;
  /** 0: no longer than there is no room. */
  readonly blockMs: number;
  /** Addresses that are not counted. */
  readonly except: Networks | undefined;
  /** In the store, if there is one. */
  readonly shared: boolean;
}

/** The whole plugin's policy. */
export interface Policy {
  readonly limits: Readonly<Record<What, readonly LimitPolicy[]>>;
  readonly tokenRates: boolean;
  readonly store: StorePolicy | undefined;
  readonly failOpen: boolean;
  readonly maxKeys: number;
}

const SESSIONS: readonly Per[] = ['subject', 'tenant', 'role', 'database'];
const PER: Readonly<Record<What, readonly Per[]>> = {
  connections: ['address', ...SESSIONS],
  failedLogins: ['address', 'subject'],
  statements: SESSIONS,
  bytes: SESSIONS,
};
const MORE: Readonly<Record<What, readonly (keyof Given)[]>> = {
  connections: ['except'],
  failedLogins: ['except', 'block'],
  statements: ['mode', 'maxDelay'],
  bytes: ['mode', 'maxDelay'],
};
const DEFAULT_DELAY = '1s';
const LONGEST_DELAY_MS = 60_000;
const LONGEST_BLOCK_MS = milliseconds('7d');
const DEFAULT_KEYS = 100_000;

/** What all limits may say. */
interface Given {
  readonly per?: unknown;
  readonly limit?: unknown;
  readonly burst?: unknown;
  readonly shared?: unknown;
  readonly except?: unknown;
  readonly block?: unknown;
  readonly mode?: unknown;
  readonly maxDelay?: unknown;
}

function delayOf(path: string, { mode, maxDelay }: Given): number {
  const delays = mode !== undefined && readChoice(`${path}.mode`, mode, ['refuse', 'delay']) === 'delay';
  if (delays)
    return readDuration(`${path}.maxDelay`, maxDelay ?? DEFAULT_DELAY, { mostMs: LONGEST_DELAY_MS });
  return maxDelay === undefined ? 0 : badOption(`${path}.maxDelay`, "is for mode: 'delay'");
}

function exceptOf(path: string, value: unknown): Networks | undefined {
  // An empty list excepts nobody.
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return undefined;
  const network = (at: string, one: unknown) => readParsed(at, one, parseNetwork);
  return new Networks(readList(path, value, network, 'networks'));
}

function limitOf(what: What, path: string, value: unknown): LimitPolicy {
  const given = readObject<Given>(path, value, ['per', 'limit', 'burst', 'shared', ...MORE[what]]);
  const per = readChoice(`${path}.per`, given.per, PER[what]);
  if (given.except !== undefined && per !== 'address') badOption(`${path}.except`, "is for per: 'address'");
  const bucket = (what === 'bytes' ? byteBucketOf : bucketOf)(path, given.limit, given.burst);
  const { block, shared } = given;
  const text = String(given.limit);
  return {
    id: `${what} ${per} ${text} ${bucket.size}`,
    what,
    per,
    text,
    bucket,
    maxDelayMs: delayOf(path, given),
    blockMs: block === undefined ? 0 : readDuration(`${path}.block`, block, { mostMs: LONGEST_BLOCK_MS }),
    except: exceptOf(`${path}.except`, given.except),
    shared: shared === undefined || readFlag(`${path}.shared`, shared),
  };
}

function limitsOf(what: What, value: unknown): readonly LimitPolicy[] {
  if (value === undefined) return [];
  const path = `rateLimit.${what}`;
  if (!Array.isArray(value)) return [limitOf(what, path, value)];
  return (value as readonly unknown[]).map((one, index) => limitOf(what, `${path}[${index}]`, one));
}

/** A token's own rate as a limit, over which happens what `like` says. @throws ConfigError for what is no rate */
export function tokenLimit(
  what: 'connections' | 'statements',
  text: string,
  like: LimitPolicy | undefined,
): LimitPolicy {
  const bucket = bucketOf(`rate.${what}`, text, undefined);
  const none = { blockMs: 0, except: undefined, shared: like?.shared ?? true };
  return {
    id: `token ${what}`,
    what,
    per: 'subject',
    text,
    bucket,
    maxDelayMs: like?.maxDelayMs ?? 0,
    ...none,
  };
}

const KNOWN: readonly (keyof RateLimitOptions)[] = [
  'connections',
  'failedLogins',
  'statements',
  'bytes',
  'tokenRates',
  'store',
  'failOpen',
  'maxKeys',
];

/** Checks the options. @throws ConfigError that names the option's path, such as `rateLimit.statements[1].limit` */
export function parsePolicy(given: unknown): Policy {
  const options = readObject<RateLimitOptions>('rateLimit', given, KNOWN);
  const { store, failOpen, tokenRates, maxKeys } = options;
  if (store === undefined && failOpen !== undefined)
    badOption('rateLimit.failOpen', 'is for a store, and there is none');
  const limits = {
    connections: limitsOf('connections', options.connections),
    failedLogins: limitsOf('failedLogins', options.failedLogins),
    statements: limitsOf('statements', options.statements),
    bytes: limitsOf('bytes', options.bytes),
  };
  const failsOpen = store === undefined || readFlag('rateLimit.failOpen', failOpen);
  return {
    limits,
    tokenRates: tokenRates === undefined || readFlag('rateLimit.tokenRates', tokenRates),
    store: store === undefined ? undefined : storeOf(store, failsOpen),
    failOpen: failsOpen,
    maxKeys: maxKeys === undefined ? DEFAULT_KEYS : readInteger('rateLimit.maxKeys', maxKeys),
  };
}
