/** Reads a claim by its name, or by a path into nested claims. */

function member(value: unknown, name: string): unknown {
  // Own members only: `constructor` and its like are in every object and in no token.
  const has =
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name);
  return has ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

/**
 * The claim with this very name, which may contain dots as URI names do (RFC 7519 §4.2); else the path `a.b.c`.
 * Undefined if there is none.
 */
export function claimAt(claims: Readonly<Record<string, unknown>>, claim: string): unknown {
  if (Object.hasOwn(claims, claim)) return claims[claim];
  return claim.split('.').reduce(member, claims as unknown);
}
