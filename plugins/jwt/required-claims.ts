/** Claims that a token must have, present or with certain values: read from the options at boot, and looked at in each token. */
import { badOption, claimAt, hasClaim, readList, readText, shown, whyElsewhere } from '../../core/index.ts';
import type { ClaimValue, IssuerOptions } from './options.ts';
import { TokenRefused } from './refusal.ts';

type Claims = Readonly<Record<string, unknown>>;

/** One claim that a token must have. */
export interface RequiredClaim {
  /** A name, or a path into nested claims. */
  readonly claim: string;
  /** One of these, or a list that contains one; undefined: anything but null and false. */
  readonly values?: readonly ClaimValue[];
}

function valueOf(path: string, value: unknown): ClaimValue {
  if (typeof value === 'boolean' || Number.isFinite(value)) return value as ClaimValue;
  return typeof value === 'string' && value !== ''
    ? value
    : badOption(path, 'a text, a number, true or false is needed');
}

function valuesOf(path: string, given: unknown): readonly ClaimValue[] {
  return Array.isArray(given) ? readList(path, given, valueOf) : [valueOf(path, given)];
}

function withValues(path: string, given: object): readonly RequiredClaim[] {
  const entries = Object.entries(given);
  if (entries.length === 0) badOption(path, 'at least one claim is needed');
  return entries.map(([claim, values]) => ({
    claim: readText(path, claim),
    values: valuesOf(`${path}.${claim}`, values),
  }));
}

function requiredClaim(path: string, given: unknown): readonly RequiredClaim[] {
  if (typeof given === 'object' && given !== null && !Array.isArray(given)) return withValues(path, given);
  return [{ claim: readText(path, given) }];
}

/** Reads `requiredClaims`. @throws ConfigError */
export function parseRequired(
  path: string,
  given: IssuerOptions['requiredClaims'],
): readonly RequiredClaim[] {
  if (given === undefined) return [];
  if (Array.isArray(given)) return readList(path, given, requiredClaim, 'claims').flat();
  if (typeof given !== 'object' || given === null)
    badOption(path, 'a list of claims, or an object with their values, is needed');
  return withValues(path, given);
}

function wantedOf(values: readonly ClaimValue[]): string {
  return values.length === 1 ? shown(values[0]) : `one of ${shown(values)}`;
}

function check(claims: Claims, { claim, values }: RequiredClaim): void {
  const found = claimAt(claims, claim);
  const given = `claim ${claim} is ${shown(found)}`;
  if (values === undefined) {
    if (found === undefined || found === null || found === false) throw new TokenRefused(given);
    return;
  }
  if (values.some((value) => hasClaim(claims, claim, value))) return;
  throw new TokenRefused(`${given}, wanted ${wantedOf(values)}`);
}

/** Refuses a token whose issuer keeps one of these claims elsewhere: it is not without them. @throws TokenRefused */
export function refuseElsewhere(claims: Claims, names: readonly string[]): void {
  const why = names.map((name) => whyElsewhere(claims, name)).find((one) => one !== undefined);
  if (why !== undefined) throw new TokenRefused(why);
}

/** Refuses a token that lacks one of them. @throws TokenRefused that says which */
export function checkRequired(claims: Claims, required: readonly RequiredClaim[]): void {
  refuseElsewhere(
    claims,
    required.map(({ claim }) => claim),
  );
  for (const one of required) check(claims, one);
}
