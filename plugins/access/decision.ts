/** The policy applied: what a caller asks for is allowed by one of its rules, or by none. */
import { claimAt, hasClaim, shown, shownChoice, whyElsewhere } from '../../core/index.ts';
import type { Caller } from './callers.ts';
import type { ClaimedRules } from './grant-rules.ts';
import type { Who } from './options.ts';
import type { PolicyRule } from './policy.ts';
import { Refused } from './refused.ts';

/** What somebody asks for. */
export interface Asked {
  readonly database: string;
  /** Default: the only one there is for the caller. */
  readonly role?: string | undefined;
  /** Default: as the rule says. */
  readonly durationMs?: number | undefined;
  /** Why, for those who read the log. */
  readonly reason?: string | undefined;
}

/** Reasons that a line of the log names. */
const MOST_NAMED = 5;

/** What is allowed. */
export interface Allowed {
  readonly role: string;
  readonly durationMs: number;
  /** For the token, its database included. */
  readonly rules: ClaimedRules;
}

function isMeant(who: Who, { issuer, claims, apiKey }: Caller): boolean {
  if ('apiKey' in who) return who.apiKey === apiKey;
  if (apiKey !== undefined || (who.issuer !== undefined && who.issuer !== issuer)) return false;
  return whyElsewhere(claims, who.claim) === undefined && hasClaim(claims, who.claim, who.value);
}

/**
 * Whether one of them is the caller.
 * @throws Refused where only a claim could say so that is elsewhere: to pass the rule over might give what it withholds
 */
function isFor(who: readonly Who[], caller: Caller): boolean {
  if (who.some((one) => isMeant(one, caller))) return true;
  for (const one of who) {
    const asked = !('apiKey' in one) && [undefined, caller.issuer].includes(one.issuer);
    const why = asked ? whyElsewhere(caller.claims, one.claim) : undefined;
    if (why !== undefined) throw new Refused('outside', why);
  }
  return false;
}

function spoken(ms: number): string {
  if (ms % 3_600_000 === 0) return `${ms / 3_600_000}h`;
  return ms % 60_000 === 0 ? `${ms / 60_000}m` : `${ms / 1_000}s`;
}

function roleOf(rules: readonly PolicyRule[], { role, database }: Asked): string {
  const roles = [...new Set(rules.flatMap((rule) => rule.roles))];
  if (role === undefined) {
    const [only, ...more] = roles;
    if (only !== undefined && more.length === 0) return only;
    throw new Refused('request', `name a role: you may have ${roles.join(', ')} in database "${database}"`);
  }
  if (roles.includes(role)) return role;
  // What exists and is not for the caller reads as what does not exist.
  const reason = `the rules for this caller have ${shownChoice(roles)}`;
  throw new Refused('outside', `you may not have role "${role}" in database "${database}"`, { reason });
}

/** What a rule wants of a caller, and what this one has. */
function whyNot(who: Who, { issuer, claims, apiKey }: Caller): string {
  if ('apiKey' in who) return `API key ${shown(apiKey)}, wanted ${shown(who.apiKey)}`;
  if (apiKey !== undefined) return `API key ${shown(apiKey)}, wanted claim ${who.claim}`;
  if (who.issuer !== undefined && who.issuer !== issuer)
    return `iss is ${shown(issuer)}, wanted ${shown(who.issuer)}`;
  return `claim ${who.claim} is ${shown(claimAt(claims, who.claim))}, wanted ${shown(who.value)}`;
}

function whyNobody(policy: readonly PolicyRule[], caller: Caller, { database }: Asked): string {
  const wanted = policy.filter(({ databases }) => databases.includes(database)).flatMap(({ who }) => who);
  if (wanted.length === 0) return 'no rule of access.policy has this database';
  const reasons = [...new Set(wanted.map((who) => whyNot(who, caller)))];
  return reasons.slice(0, MOST_NAMED).join('; ');
}

/**
 * The first rule that allows all of it says what the token is like.
 * @throws Refused with the sentence that says what is outside of the policy
 */
export function decide(policy: readonly PolicyRule[], caller: Caller, asked: Asked): Allowed {
  const { database, durationMs, reason } = asked;
  const here = policy.filter(({ databases, who }) => databases.includes(database) && isFor(who, caller));
  if (here.length === 0) {
    const why = `you may not have access to database "${database}"`;
    throw new Refused('outside', why, { reason: whyNobody(policy, caller, asked) });
  }
  const role = roleOf(here, asked);
  const fit = here.filter(({ roles }) => roles.includes(role));
  const long = fit.filter(({ longestMs }) => durationMs === undefined || durationMs <= longestMs);
  if (long.length === 0) {
    const most = spoken(Math.max(...fit.map(({ longestMs }) => longestMs)));
    throw new Refused('outside', `you may have role "${role}" in database "${database}" for ${most} at most`);
  }
  const rule = long.find(({ needsReason }) => !needsReason || reason !== undefined);
  if (!rule) throw new Refused('outside', `say why you need role "${role}" in database "${database}"`);
  return {
    role,
    durationMs: durationMs ?? rule.usualMs,
    rules: { databases: [database], ...rule.rules },
  };
}
