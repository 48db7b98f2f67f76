/** The options of `jwt()`, checked once at boot and turned into what verification needs. */
import {
  badOption,
  proxyFor,
  readDuration,
  readFlag,
  readInteger,
  readIssuer,
  readList,
  readObject,
  readText,
  readTexts,
} from '../../core/index.ts';
import { announcedIn } from './announcement.ts';
import type { AnnouncedIssuer } from './announcement.ts';
import { parseExpiry } from './expiry.ts';
import type { ExpiryPolicy } from './expiry.ts';
import { parseKeySet } from './key-set.ts';
import { unfit } from './key-url.ts';
import { ALGORITHMS, ED25519 } from './options.ts';
import type { Algorithm, IssuerOptions, JwtOptions, KeysFrom } from './options.ts';
import { parseRequired } from './required-claims.ts';
import type { RequiredClaim } from './required-claims.ts';
import { parseRevocations } from './revocation-policy.ts';
import type { RevocationPolicy } from './revocation-policy.ts';
import { parseSessions } from './session-policy.ts';
import type { SessionPolicy } from './session-policy.ts';
import { issuerOfEach, tenantsOf } from './tenants.ts';

/** What is asked of the tokens of one issuer. */
export interface IssuerPolicy extends SessionPolicy {
  readonly issuer: string;
  /** The issuer as its keys are published for: with a place for the tenant where one key set is for many. */
  readonly keysOf: string;
  readonly audience: readonly string[];
  /** Absent: `aud`. */
  readonly audienceClaim?: string;
  /** Absent: by discovery. */
  readonly jwks?: KeysFrom;
  readonly ca?: string;
  readonly bearerFile?: string;
  /** The token's `azp` must be one of these; absent: it is not looked at. */
  readonly azp?: readonly string[];
  readonly algorithms: readonly Algorithm[];
  /** In seconds, as the claims are. */
  readonly clockTolerance: number;
  /** In seconds, as the claims are. */
  readonly maxLifetime: number;
  readonly typ?: readonly string[];
  readonly requiredClaims: readonly RequiredClaim[];
  readonly maxStaleMs: number;
}

/** The whole plugin's policy. */
export interface Policy {
  /** By the exact `iss`. */
  readonly issuers: ReadonlyMap<string, IssuerPolicy>;
  /** The one that clients of OAUTHBEARER are sent to. */
  readonly announced: AnnouncedIssuer | undefined;
  readonly rulesClaim: string;
  readonly maxTokenBytes: number;
  /** The folder of kept key sets, as it stands in the config. */
  readonly cache?: string;
  readonly expiry: ExpiryPolicy;
  readonly revocations: RevocationPolicy;
}

/** No signed token is shorter than the least; the most is what a client can send (core/client/password.ts). */
const TOKEN_BYTES = { least: 128, most: 65_536, of: 'bytes' } as const;

const ISSUER_OPTIONS: readonly (keyof IssuerOptions)[] = [
  'issuer',
  'tenants',
  'audience',
  'audienceClaim',
  'jwks',
  'discovery',
  'ca',
  'bearerFile',
  'azp',
  'algorithms',
  'clockTolerance',
  'maxLifetime',
  'typ',
  'requiredClaims',
  'sessions',
  'maxSession',
  'maxStale',
  'oauth',
];

function algorithm(path: string, value: unknown): Algorithm {
  const name = readText(path, value);
  const known = ALGORITHMS.find((one) => one === name);
  return known ?? badOption(path, `"${name}" is not one of ${ALGORITHMS.join(', ')}`);
}

function algorithms(path: string, value: unknown): readonly Algorithm[] {
  if (value === undefined) return ALGORITHMS;
  const named = readList(path, value, algorithm, 'texts');
  // One algorithm with two names: what a signer calls it is no choice of anybody's (RFC 9864 §2.2).
  const ed25519 = named.some((name) => ED25519.includes(name)) ? ED25519 : [];
  return [...new Set([...named, ...ed25519])];
}

/** A proxy in the environment that is none stops the boot, and not each login. */
function checkProxy(address: string): void {
  proxyFor(new URL(address));
}

function checkUrl(path: string, address: string): void {
  const why = unfit(address);
  if (why !== undefined) badOption(path, why);
  checkProxy(address);
}

/** Without `jwks` the issuer itself has to say where its keys are. */
function checkDiscovery(path: string, { issuer, jwks, discovery }: IssuerOptions): void {
  if (jwks !== undefined) {
    if (discovery !== undefined && readFlag(`${path}.discovery`, discovery))
      badOption(`${path}.discovery`, 'jwks and discovery exclude each other');
    return;
  }
  if (discovery !== undefined && !readFlag(`${path}.discovery`, discovery))
    badOption(`${path}.jwks`, 'is needed without discovery');
  const why = issuer.startsWith('spiffe://') ? 'it is a trust domain' : unfit(issuer);
  if (why !== undefined) badOption(`${path}.jwks`, `is needed, because the issuer cannot be asked: ${why}`);
  if (/[?#]/.test(issuer)) badOption(`${path}.jwks`, 'is needed, because the issuer has a query or fragment');
  checkProxy(issuer);
}

function keysFrom(path: string, value: KeysFrom): KeysFrom {
  if (typeof value === 'function') return value;
  if (typeof value === 'string') {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) checkUrl(path, value);
    else if (value === '') badOption(path, 'a URL, a file, a key set or a function is needed');
    return value;
  }
  try {
    parseKeySet(value);
  } catch (error) {
    badOption(path, error instanceof Error ? error.message : 'not a key set');
  }
  return value;
}

/** Whom the token is sent to is said by where keys are fetched. */
function bearerFileOf(path: string, { jwks, bearerFile }: IssuerOptions): { bearerFile?: string } {
  if (bearerFile === undefined) return {};
  const fetched = jwks === undefined || (typeof jwks === 'string' && /^https?:\/\//i.test(jwks));
  if (!fetched) badOption(`${path}.bearerFile`, 'only for keys that are fetched');
  return { bearerFile: readText(`${path}.bearerFile`, bearerFile) };
}

function issuerPolicy(path: string, given: IssuerOptions): IssuerPolicy {
  const options = readObject<IssuerOptions>(path, given, ISSUER_OPTIONS);
  const { audience, audienceClaim, jwks, ca, azp, typ, requiredClaims } = options;
  const { clockTolerance = '5s', maxLifetime = '24h', maxStale = '24h' } = options;
  const issuer = readIssuer(`${path}.issuer`, options.issuer);
  checkDiscovery(path, options);
  return {
    issuer,
    keysOf: issuer,
    audience: readTexts(`${path}.audience`, audience),
    ...(audienceClaim === undefined
      ? {}
      : { audienceClaim: readText(`${path}.audienceClaim`, audienceClaim) }),
    ...bearerFileOf(path, options),
    ...(jwks === undefined ? {} : { jwks: keysFrom(`${path}.jwks`, jwks) }),
    ...(azp === undefined ? {} : { azp: readTexts(`${path}.azp`, azp) }),
    ...(ca === undefined ? {} : { ca: readText(`${path}.ca`, ca) }),
    algorithms: algorithms(`${path}.algorithms`, options.algorithms),
    clockTolerance:
      readDuration(`${path}.clockTolerance`, clockTolerance, { leastMs: 0, mostMs: 60_000 }) / 1_000,
    maxLifetime: readDuration(`${path}.maxLifetime`, maxLifetime, { leastMs: 0 }) / 1_000,
    ...(typ === undefined ? {} : { typ: readTexts(`${path}.typ`, typ) }),
    requiredClaims: parseRequired(`${path}.requiredClaims`, requiredClaims),
    ...parseSessions(path, options),
    maxStaleMs: readDuration(`${path}.maxStale`, maxStale, { leastMs: 0 }),
  };
}

const OPTIONS: readonly (keyof JwtOptions)[] = [
  'issuers',
  'rulesClaim',
  'maxTokenBytes',
  'cache',
  'onExpiry',
  'grace',
  'notice',
  'hint',
  'revocations',
];

/** One for each tenant, where there are several. */
function issuerPolicies(path: string, options: IssuerOptions): readonly IssuerPolicy[] {
  const policy = issuerPolicy(path, options);
  const tenants = tenantsOf(path, options);
  if (!tenants) return [policy];
  return issuerOfEach(policy.issuer, tenants).map(({ issuer, tenant }) => ({
    ...policy,
    issuer,
    requiredClaims: [...policy.requiredClaims, { claim: 'tid', values: [tenant] }],
  }));
}

function issuersOf(given: readonly IssuerOptions[]): ReadonlyMap<string, IssuerPolicy> {
  const issuers = new Map<string, IssuerPolicy>();
  const keysOf = new Set<string>();
  for (const [index, item] of given.entries()) {
    const path = `jwt.issuers[${index}]`;
    for (const policy of issuerPolicies(path, item)) {
      if (issuers.has(policy.issuer)) badOption(`${path}.issuer`, `"${policy.issuer}" comes twice`);
      issuers.set(policy.issuer, policy);
    }
    if (keysOf.has(item.issuer)) badOption(`${path}.issuer`, `"${item.issuer}" comes twice`);
    keysOf.add(item.issuer);
  }
  return issuers;
}

/** Checks the options. @throws ConfigError that names the option's path, such as `jwt.issuers[0].jwks` */
export function parsePolicy(given: JwtOptions): Policy {
  const options = readObject<JwtOptions>('jwt', given, OPTIONS);
  const { rulesClaim = 'postern', maxTokenBytes = 16_384 } = options;
  if (!Array.isArray(options.issuers) || options.issuers.length === 0) {
    badOption('jwt.issuers', 'a list with at least one issuer is needed');
  }
  return {
    issuers: issuersOf(options.issuers),
    announced: announcedIn(options.issuers),
    rulesClaim: readText('jwt.rulesClaim', rulesClaim),
    maxTokenBytes: readInteger('jwt.maxTokenBytes', maxTokenBytes, TOKEN_BYTES),
    ...(options.cache === undefined ? {} : { cache: readText('jwt.cache', options.cache) }),
    expiry: parseExpiry(options),
    revocations: parseRevocations(options.revocations),
  };
}
