/** Which servers a session gets when both a policy and the token have something to say. */
import type { Target } from '../../core/index.ts';

const both = (target: Target): boolean => target === 'any' || target === 'prefer-replica';

/**
 * What a policy allows and a token's rule wants. A rule narrows and never widens: without a policy, of which the database
 * may then have one of its own, it may only say `'replica'`.
 * @returns undefined where the two have nothing in common, or where nothing is said
 */
export function narrowed(policy: Target | undefined, rule: Target | undefined): Target | undefined {
  if (rule === undefined || policy === rule) return policy;
  if (policy === undefined) return rule === 'replica' ? rule : undefined;
  if (policy === 'any') return rule;
  if (both(rule)) return policy;
  return both(policy) ? rule : undefined;
}
