/** The options of `jwt()`, checked once at boot and turned into what verification needs. */
import { ConfigError, milliseconds } from '../../core/index.ts';
import { parseKeySet } from './key-set.ts';
import { ALGORITHMS } from './options.ts';
import type { Algorithm, IssuerOptions, JwtOptions, KeysFrom } from './options.ts';

/** What is asked of the tokens of one issuer. */
export interface IssuerPolicy {
  readonly issuer: string;
  readonly audience: readonly string[];
  readonly jwks: KeysFrom;
  readonly ca?: string;
  readonly algorithms: readonly Algorithm[];
  /** In seconds, as the claims are. */
  readonly clockTolerance: number;
  /** In seconds, as the claims are. */
  readonly maxLifetime: number;
  readonly typ?: string;
  readonly requiredClaims: readonly string[];
  readonly maxStaleMs: number;
}

/** The whole plugin's policy. */
export interface Policy {
  /** By the exact `iss`. */
  readonly issuers: ReadonlyMap<string, IssuerPolicy>;
  readonly rulesClaim: string;
  readonly maxTokenBytes: number;
}

const ISSUER_OPTIONS = [
  'issuer',
  'audience',
  'jwks',
  'ca',
  'algorithms',
  'clockTolerance',
  'maxLifetime',
  'typ',
  'requiredClaims',
  'maxStale',
];

function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

function checkNames(path: string, value: unknown, known: readonly string[]): void {
  if (typeof value !== 'object' || value === null) bad(path, 'an object is needed');
  const stranger = Object.keys(value).find((name) => !known.includes(name));
  if (stranger !== undefined) bad(`${path}.${stranger}`, `no such option; there are ${known.join(', ')}`);
}

function text(path: string, value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : bad(path, 'a text is needed');
}

function texts(path: string, value: unknown): readonly string[] {
  if (!Array.isArray(value) || value.length === 0) bad(path, 'a list with at least one text is needed');
  return value.map((item: unknown, index) => text(`${path}[${index}]`, item));
}

function duration(path: string, value: unknown, fallback: string, atMost = Infinity): number {
  const given = value === undefined ? fallback : text(path, value);
  let span: number;
  try {
    span = milliseconds(given);
  } catch (error) {
    return bad(path, error instanceof Error ? error.message : 'not a duration');
  }
  return span <= atMost ? span : bad(path, `at most ${atMost / 1_000} s`);
}

function algorithms(path: string, value: unknown): readonly Algorithm[] {
  if (value === undefined) return ALGORITHMS;
  return texts(path, value).map((name, index) => {
    const known = ALGORITHMS.find((algorithm) => algorithm === name);
    return known ?? bad(`${path}[${index}]`, `"${name}" is not one of ${ALGORITHMS.join(', ')}`);
  });
}

const LOOPBACK = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

function checkUrl(path: string, address: string): void {
  const url = URL.canParse(address) ? new URL(address) : bad(path, `"${address}" is not a URL`);
  if (url.username !== '' || url.password !== '') bad(path, 'a URL may not carry a user name or password');
  if (url.protocol === 'https:' || (url.protocol === 'http:' && LOOPBACK.test(url.hostname))) return;
  bad(
    path,
    `"${url.protocol}//${url.host}" is not https: who can change the keys on the way can mint tokens`,
  );
}

function keysFrom(path: string, value: KeysFrom): KeysFrom {
  if (typeof value === 'function') return value;
  if (typeof value === 'string') {
    if (/^[a-z][a-z0-9+.-]*:\/\//i.test(value)) checkUrl(path, value);
    else if (value === '') bad(path, 'a URL, a file, a key set or a function is needed');
    return value;
  }
  try {
    parseKeySet(value);
  } catch (error) {
    bad(path, error instanceof Error ? error.message : 'not a key set');
  }
  return value;
}

function issuerPolicy(path: string, options: IssuerOptions): IssuerPolicy {
  checkNames(path, options, ISSUER_OPTIONS);
  const { audience, ca, typ, requiredClaims } = options;
  return {
    issuer: text(`${path}.issuer`, options.issuer),
    audience: Array.isArray(audience)
      ? texts(`${path}.audience`, audience)
      : [text(`${path}.audience`, audience)],
    jwks: keysFrom(`${path}.jwks`, options.jwks),
    ...(ca === undefined ? {} : { ca: text(`${path}.ca`, ca) }),
    algorithms: algorithms(`${path}.algorithms`, options.algorithms),
    clockTolerance: duration(`${path}.clockTolerance`, options.clockTolerance, '5s', 60_000) / 1_000,
    maxLifetime: duration(`${path}.maxLifetime`, options.maxLifetime, '24h') / 1_000,
    ...(typ === undefined ? {} : { typ: text(`${path}.typ`, typ) }),
    requiredClaims: requiredClaims === undefined ? [] : texts(`${path}.requiredClaims`, requiredClaims),
    maxStaleMs: duration(`${path}.maxStale`, options.maxStale, '24h'),
  };
}

function tokenBytes(path: string, value: unknown): number {
  if (value === undefined) return 16_384;
  const fits = typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 65_536;
  return fits ? value : bad(path, 'a whole number of bytes from 1 to 65536 is needed');
}

/** Checks the options. @throws ConfigError that names the option's path, such as `jwt.issuers[0].jwks` */
export function parsePolicy(options: JwtOptions): Policy {
  checkNames('jwt', options, ['issuers', 'rulesClaim', 'maxTokenBytes']);
  if (!Array.isArray(options.issuers) || options.issuers.length === 0) {
    bad('jwt.issuers', 'a list with at least one issuer is needed');
  }
  const issuers = new Map<string, IssuerPolicy>();
  for (const [index, item] of options.issuers.entries()) {
    const policy = issuerPolicy(`jwt.issuers[${index}]`, item);
    if (issuers.has(policy.issuer)) bad(`jwt.issuers[${index}].issuer`, `"${policy.issuer}" comes twice`);
    issuers.set(policy.issuer, policy);
  }
  return {
    issuers,
    rulesClaim: options.rulesClaim === undefined ? 'postern' : text('jwt.rulesClaim', options.rulesClaim),
    maxTokenBytes: tokenBytes('jwt.maxTokenBytes', options.maxTokenBytes),
  };
}
