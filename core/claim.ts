/** Reads a claim by its name, or by a path into nested claims. */

function member(value: unknown, name: string): unknown {
  // Own members only: `constructor` and its like are in every object and in no token.
  const has =
    typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name);
  return has ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
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

/**
 * The claim with this very name, which may contain dots as URI names do (RFC 7519 §4.2); else the path `a.b.c`.
 * Undefined if there is none.
 */
export function claimAt(claims: Readonly<Record<string, unknown>>, claim: string): unknown {
  return at(claims, claim.split('.'));
}
