/** The options, checked: who may ask, and for what. */
import { isIPv6 } from 'node:net';
import {
  badOption,
  parseRole,
  rate as parseRate,
  readChoice,
  readDuration,
  readInteger,
  readIssuer,
  readList,
  readObject,
  readParsed,
  readText,
} from '../../core/index.ts';
import { claimedRules } from './grant-rules.ts';
import type { ClaimedRules } from './grant-rules.ts';
import type {
  AccessOptions,
  ApiKeyOptions,
  CallersOptions,
  ConnectOptions,
  PolicyOptions,
  Who,
} from './options.ts';
import { OwnIssuer } from './own-issuer.ts';

/** A key that may ask. */
export interface ApiKey {
  readonly name: string;
  readonly sha256: Buffer;
  /** In milliseconds since the epoch. */
  readonly expiresAt: number;
}

/** One rule of the policy; times in milliseconds. */
export interface PolicyRule {
  readonly who: readonly Who[];
  readonly databases: readonly string[];
  readonly roles: readonly string[];
  readonly longestMs: number;
  readonly usualMs: number;
  readonly needsReason: boolean;
  readonly rules: ClaimedRules;
}

/** All options. */
export interface Policy {
  readonly issuer: OwnIssuer;
  /** The first one's subjects keep their names. */
  readonly issuers: readonly string[];
  readonly apiKeys: readonly ApiKey[];
  readonly rules: readonly PolicyRule[];
  readonly connect: Required<ConnectOptions>;
  readonly roleClaim: string;
  readonly rulesClaim: string;
  readonly rate: { readonly requests: number; readonly perMs: number };
}

/** Tokens count in seconds. */
const SECOND = { leastMs: 1_000 };
const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const;

function apiKey(path: string, given: unknown): ApiKey {
  const key = readObject<ApiKeyOptions>(path, given, ['name', 'sha256', 'expires']);
  const name = readText(`${path}.name`, key.name);
  if (!/^[\w.-]{1,63}$/.test(name)) badOption(`${path}.name`, 'letters, digits, dots, - and _ are needed');
  if (typeof key.sha256 !== 'string' || !/^[0-9a-f]{64}$/i.test(key.sha256)) {
    badOption(
      `${path}.sha256`,
      'the SHA-256 of a key is needed, 64 hex digits: `postern access key` makes one',
    );
  }
  const expiresAt =
    key.expires === undefined ? Infinity : Date.parse(readText(`${path}.expires`, key.expires));
  if (Number.isNaN(expiresAt)) badOption(`${path}.expires`, "a date such as '2027-01-31' is needed");
  return { name, sha256: Buffer.from(key.sha256, 'hex'), expiresAt };
}

function callersOf(given: unknown, own: string): Pick<Policy, 'issuers' | 'apiKeys'> {
  const path = 'access.callers';
  const { issuers, apiKeys } = readObject<CallersOptions>(path, given, ['issuers', 'apiKeys']);
  if (issuers === undefined && apiKeys === undefined) badOption(path, 'issuers or apiKeys are needed');
  const keys = apiKeys === undefined ? [] : readList(`${path}.apiKeys`, apiKeys, apiKey);
  const twice = keys.find(({ name }, index) => keys.findIndex((one) => one.name === name) < index);
  if (twice) badOption(`${path}.apiKeys`, `'${twice.name}' comes twice`);
  const others = issuers === undefined ? [] : readList(`${path}.issuers`, issuers, readIssuer);
  if (others.includes(own)) badOption(`${path}.issuers`, 'what the gateway has granted cannot ask for more');
  return { issuers: others, apiKeys: keys };
}

function whoOf(path: string, given: unknown, { issuers, apiKeys }: Pick<Policy, 'issuers' | 'apiKeys'>): Who {
  const who = readObject<Record<string, unknown>>(path, given, ['claim', 'value', 'issuer', 'apiKey']);
  if (who['apiKey'] === undefined) {
    const claim = readText(`${path}.claim`, who['claim']);
    const value = readText(`${path}.value`, who['value']);
    const { issuer } = who;
    if (issuer === undefined) return { claim, value };
    return { claim, value, issuer: known(`${path}.issuer`, issuer, issuers) };
  }
  if (Object.keys(who).length > 1) badOption(path, 'apiKey and claim exclude each other');
  const names = apiKeys.map(({ name }) => name);
  return { apiKey: known(`${path}.apiKey`, who['apiKey'], names) };
}

function roleOf(path: string, given: unknown): string {
  return readParsed(path, given, parseRole);
}

/** One of those that stand elsewhere in the options. */
function known(path: string, value: unknown, names: readonly string[]): string {
  return names.find((one) => one === value) ?? badOption(path, `expected one of ${names.join(', ')}`);
}

type Known = Pick<Policy, 'issuers' | 'apiKeys' | 'issuer'>;

function ruleOf(path: string, given: unknown, { issuer, ...callers }: Known): PolicyRule {
  const names = ['who', 'databases', 'roles', 'maxDuration', 'duration', 'reason', 'rules'] as const;
  const { who, databases, roles, ...more } = readObject<PolicyOptions>(path, given, names);
  const longestMs = readDuration(`${path}.maxDuration`, more.maxDuration ?? '1h', SECOND);
  if (longestMs > issuer.maxLifetimeMs) {
    badOption(`${path}.maxDuration`, `at most maxLifetime of the issuer, ${issuer.maxLifetime}`);
  }
  const usualMs = Math.min(longestMs, readDuration(`${path}.duration`, more.duration ?? '15m', SECOND));
  const list: readonly unknown[] = Array.isArray(who) ? who : [who];
  return {
    who: readList(`${path}.who`, list, (at, one) => whoOf(at, one, callers)),
    databases: readList(`${path}.databases`, databases, readText),
    roles: readList(`${path}.roles`, roles, roleOf),
    longestMs,
    usualMs,
    needsReason:
      readChoice(`${path}.reason`, more.reason ?? 'required', ['required', 'optional']) === 'required',
    rules: claimedRules(`${path}.rules`, more.rules),
  };
}

function connectOf(given: unknown): Required<ConnectOptions> {
  const path = 'access.connect';
  const { host, port, sslmode } = readObject<ConnectOptions>(path, given, ['host', 'port', 'sslmode']);
  if (!/^[\w.:-]+$/.test(readText(`${path}.host`, host)))
    badOption(`${path}.host`, 'the name or address of a host is needed');
  if (host.includes(':') && !isIPv6(host))
    badOption(`${path}.host`, 'no address of IPv6: a port goes into port');
  return {
    host,
    port: readInteger(`${path}.port`, port ?? 6432, { most: 65_535 }),
    sslmode: readChoice(`${path}.sslmode`, sslmode ?? 'verify-full', SSL_MODES),
  };
}

function rateOf(given: unknown): Policy['rate'] {
  const path = 'access.rate';
  const { events, perMs } = readParsed(path, given ?? '30/min', parseRate);
  return Number.isInteger(events)
    ? { requests: events, perMs }
    : badOption(path, 'a whole number of requests is needed');
}

const TAKEN = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'cnf', 'caller'];

function claimsOf({ roleClaim, rulesClaim }: AccessOptions): Pick<Policy, 'roleClaim' | 'rulesClaim'> {
  const claims = {
    roleClaim: readText('access.roleClaim', roleClaim ?? 'role'),
    rulesClaim: readText('access.rulesClaim', rulesClaim ?? 'postern'),
  };
  const taken = Object.entries(claims).find(([, name]) => TAKEN.includes(name));
  if (taken) badOption(`access.${taken[0]}`, `the claim ${taken[1]} says something else`);
  if (claims.roleClaim === claims.rulesClaim) badOption('access.rulesClaim', 'roleClaim has this name');
  return claims;
}

/** Checks the options. @throws ConfigError that names the option, such as `access.policy[0].roles[1]` */
export function policyOf(given: unknown): Policy {
  const known = ['issuer', 'callers', 'policy', 'connect', 'roleClaim', 'rulesClaim', 'rate'] as const;
  const options = readObject<AccessOptions>('access', given, known);
  const { issuer } = options;
  if (!(issuer instanceof OwnIssuer)) badOption('access.issuer', 'what ownIssuer({ … }) makes is needed');
  const callers = callersOf(options.callers, issuer.issuer);
  return {
    issuer,
    ...callers,
    rules: readList('access.policy', options.policy, (at, one) => ruleOf(at, one, { ...callers, issuer })),
    connect: connectOf(options.connect),
    ...claimsOf(options),
    rate: rateOf(options.rate),
  };
}
