/** The option `fleet`: its shape, and its defaults. */
import { hostname } from 'node:os';
import { resolve } from 'node:path';
import { z } from 'zod';
import type {
  FleetAwayOptions,
  FleetOptions,
  FleetStoreOptions,
  SentinelAddress,
} from '../contract/fleet-options.ts';
import type { FleetAway } from '../contract/fleet.ts';
import { milliseconds } from '../contract/durations.ts';
import { ConfigError } from '../contract/errors.ts';
import type { ResolvedFleet } from './resolved.ts';
import { expected } from './sentences.ts';
import { checkCertificates } from './tls-files.ts';
import { duration, object, oneOf, secret, text, value, whole } from './values.ts';

/** A login waits for the store. */
const LONGEST_TIMEOUT_MS = 5_000;
const SHORTEST_TIMEOUT_MS = 10;
/** Instances beat once a second. */
const SHORTEST_STALE_MS = 2_000;
const SENTINEL_PORT = 26_379;
/** So long is the key that is made of it. */
const LEAST_SECRET_BYTES = 32;

const fleetName: z.ZodType<string> = value((input) =>
  typeof input === 'string' && /^[\w.-]{1,63}$/.test(input)
    ? undefined
    : expected("a name of letters, digits, '-', '_' and '.', 63 at most", input),
);

/** It may have a password in it: no sentence repeats it. */
const url: z.ZodType<string> = value((input) => {
  const wanted = "a URL such as 'redis://127.0.0.1:6379/0', or rediss:// with TLS";
  const parsed = typeof input === 'string' && URL.canParse(input) ? new URL(input) : undefined;
  const fits = parsed && ['redis:', 'rediss:'].includes(parsed.protocol) && parsed.hostname !== '';
  const hasMore = parsed && (!/^(\/\d{0,5})?$/.test(parsed.pathname) || parsed.search + parsed.hash !== '');
  return fits && !hasMore ? undefined : expected(wanted, input, true);
});

const timeout: z.ZodType<NonNullable<FleetStoreOptions['timeout']>> = duration(SHORTEST_TIMEOUT_MS).refine(
  (given) => milliseconds(given) <= LONGEST_TIMEOUT_MS,
  { error: `expected a duration from ${SHORTEST_TIMEOUT_MS} ms to ${LONGEST_TIMEOUT_MS / 1_000} s` },
);

const sentinel = object<SentinelAddress>({
  host: text('a host name or an address'),
  port: whole(1, 65_535).optional(),
});

/** The shape of `fleet`. */
export const fleet = object<FleetOptions>({
  name: fleetName,
  instance: text('a name').optional(),
  secret,
  store: object<FleetStoreOptions>({
    kind: oneOf(['redis']),
    url,
    password: secret.optional(),
    ca: text('the path of a PEM file').optional(),
    sentinels: z
      .array(sentinel, { error: ({ input }) => expected('a list of addresses', input) })
      .min(1, { error: 'at least one Sentinel is needed; leave sentinels out where there is none' })
      .optional(),
    sentinelPassword: secret.optional(),
    timeout: timeout.optional(),
  }),
  away: object<FleetAwayOptions>({
    revocations: oneOf<FleetAway['revocations']>(['refuse', 'end', 'goOn']).optional(),
    limits: oneOf<FleetAway['limits']>(['local', 'refuse']).optional(),
  }).optional(),
  stale: duration(SHORTEST_STALE_MS).optional(),
});

function storeOf(store: FleetStoreOptions, directory: string): ResolvedFleet['store'] {
  const { kind, password, sentinels = [], sentinelPassword } = store;
  const ca = store.ca === undefined ? undefined : resolve(directory, store.ca);
  if (ca !== undefined && !store.url.startsWith('rediss://'))
    throw new ConfigError('fleet.store.ca: is for a store with TLS: write rediss:// in url');
  if (ca !== undefined) checkCertificates(ca, 'fleet.store.ca');
  if (sentinelPassword !== undefined && sentinels.length === 0)
    throw new ConfigError('fleet.store.sentinelPassword: needs sentinels');
  return {
    kind,
    url: store.url,
    password,
    ca,
    sentinels: sentinels.map(({ host, port = SENTINEL_PORT }) => ({ host, port })),
    sentinelPassword,
    timeoutMs: milliseconds(store.timeout ?? '500ms'),
  };
}

/** Completes `fleet`. Secrets that a function gives are read where they are used. @throws ConfigError */
export function resolveFleet(options: FleetOptions, directory: string): ResolvedFleet {
  const { name, instance = hostname(), secret: given, store, away = {}, stale = '10s' } = options;
  if (typeof given === 'string' && Buffer.byteLength(given) < LEAST_SECRET_BYTES)
    throw new ConfigError(
      `fleet.secret: has fewer than ${LEAST_SECRET_BYTES} bytes; make one by: openssl rand -hex 32`,
    );
  return {
    name,
    instance,
    secret: given,
    store: storeOf(store, directory),
    away: { revocations: away.revocations ?? 'refuse', limits: away.limits ?? 'local' },
    staleMs: milliseconds(stale),
  };
}
