/** Reads a claim by its name, or by a path into nested claims; what the issuer keeps elsewhere is never taken for absent. */
import { GatewayError } from '../contract/errors.ts';

type Claims = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Claims {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function member(value: unknown, name: string): unknown {
  // Own members only: `constructor` and its like are in every object and in no token.
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** Tries each way to cut the path, longest first name first: `kubernetes.io.pod.name` is a claim with a dot in its name. */
function at(value: unknown, path: readonly string[]): unknown {
  for (let length = path.length; length > 0; length--) {
    const inner = member(value, path.slice(0, length).join('.'));
    if (inner === undefined) continue;
    const found = length === path.length ? inner : at(inner, path.slice(length));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Aggregated and distributed claims are named here (OpenID Connect Core 1.0 §5.6.2). */
const NAMES = '_claim_names';
/** Entra ID's word for groups that are too many, in tokens that travel in a URL (its access token claims reference). */
const GROUPS_MARK = 'hasgroups';

/** The names that a claim of the token could have by which the path begins: `a`, `a.b`, `a.b.c`. */
function namesOf(claim: string): readonly string[] {
  const path = claim.split('.');
  return path.map((_, index) => path.slice(0, index + 1).join('.'));
}

/**
 * Why a claim cannot be known by the token, for the operator's log; undefined where it can. Its issuer keeps it elsewhere: in
 * `_claim_names` (OpenID Connect Core 1.0 §5.6.2), or by Entra ID's `hasgroups`.
 *
 * @example const why = whyElsewhere(identity.claims, 'groups');
 */
export function whyElsewhere(claims: Claims, claim: string): string | undefined {
  const names = member(claims, NAMES);
  const mark = member(claims, GROUPS_MARK);
  if (names === undefined && mark === undefined) return undefined;
  // A list or text in its place was meant to name something.
  if (names !== undefined && !isObject(names)) return `${NAMES} is not an object: any claim may be elsewhere`;
  const wanted = namesOf(claim);
  const why = (by: string): string => `claim ${claim} is not in the token but elsewhere (${by})`;
  if (names !== undefined && wanted.some((name) => Object.hasOwn(names, name))) return why(NAMES);
  const marked = mark !== undefined && mark !== false && member(claims, 'groups') === undefined;
  return marked && wanted.includes('groups') ? why(GROUPS_MARK) : undefined;
}

/**
 * The claim with this very name, which may contain dots as URI names do (RFC 7519 §4.2); else the path `a.b.c`.
 * Undefined if there is none.
 *
 * @throws GatewayError `invalid_authorization_specification` if the issuer keeps the claim elsewhere: that is not an absence
 * @example const department = claimAt(identity.claims, 'org.department');
 */
export function claimAt(claims: Claims, claim: string): unknown {
  const why = whyElsewhere(claims, claim);
  if (why === undefined) return claim.includes('.') ? at(claims, claim.split('.')) : member(claims, claim);
  throw new GatewayError('invalid_authorization_specification', 'the token lacks a claim that decides here', {
    hint: 'Its issuer keeps that claim elsewhere, as Microsoft Entra ID does with too many groups.',
    cause: new Error(why),
  });
}

/**
 * Whether the claim, by name or path, is this very value or a list that contains it.
 *
 * @throws GatewayError `invalid_authorization_specification` as {@link claimAt} does
 * @example if (hasClaim(identity.claims, 'groups', 'dba')) session.notice('You are an operator.');
 */
export function hasClaim(claims: Claims, claim: string, value: unknown): boolean {
  const found = claimAt(claims, claim);
  return found === value || (Array.isArray(found) && found.includes(value));
}
