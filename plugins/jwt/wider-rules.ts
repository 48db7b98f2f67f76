/** Compares the rules of two tokens: a session may come under narrower ones, and never under wider ones. */
import { BlockList, isIP } from 'node:net';
import { milliseconds, rate } from '../../core/index.ts';
import type { AccessWindow, RuleName, TokenRules } from '../../core/index.ts';

type Within<T> = (after: T, before: T) => boolean;

const each =
  <T>(within: Within<T>): Within<readonly T[]> =>
  (after, before) =>
    after.every((one) => before.some((other) => within(one, other)));

const same: Within<string> = (after, before) => after === before;

const network: Within<string> = (after, before) => {
  const [inner = '', innerBits] = after.split('/');
  const [outer = '', outerBits] = before.split('/');
  const family = isIP(inner) === 4 ? 'ipv4' : 'ipv6';
  if (isIP(inner) !== isIP(outer) || Number(innerBits) < Number(outerBits)) return false;
  const list = new BlockList();
  list.addSubnet(outer, Number(outerBits), family);
  return list.check(inner, family);
};

/** Over midnight, windows are compared by their very words. */
const window: Within<AccessWindow> = (after, before) => {
  const days = after.days.every((day) => before.days.includes(day));
  if (!days || after.tz !== before.tz) return false;
  if (after.from === before.from && after.to === before.to) return true;
  const plain = after.from < after.to && before.from < before.to;
  return plain && after.from >= before.from && after.to <= before.to;
};

/** A bucket holds as many as the rate says: `600/m` lets 600 through at once, where `10/s` lets 10. */
const slower: Within<string> = (after, before) => {
  const [now, then] = [rate(after), rate(before)];
  return now.events / now.perMs <= then.events / then.perMs && now.events <= then.events;
};

const rates: Within<NonNullable<TokenRules['rate']>> = (after, before) =>
  (['statements', 'connections'] as const).every((name) => {
    const [now, then] = [after[name], before[name]];
    return then === undefined || (now !== undefined && slower(now, then));
  });

const WITHIN: { readonly [R in RuleName]?: Within<NonNullable<TokenRules[R]>> } = {
  databases: each(same),
  maxConnections: (after, before) => after <= before,
  cidrs: each(network),
  windows: each(window),
  rate: rates,
  maxSession: (after, before) => milliseconds(after) <= milliseconds(before),
};

function isWithin(rule: RuleName, after: TokenRules, before: TokenRules): boolean {
  if (before[rule] === undefined) return true;
  if (after[rule] === undefined) return false;
  // A rule nobody has taught this file about may stay as it is, and not change.
  const within = WITHIN[rule] as Within<unknown> | undefined;
  return within
    ? within(after[rule], before[rule])
    : JSON.stringify(after[rule]) === JSON.stringify(before[rule]);
}

/** The name of a rule of `before` that `after` lacks, or that allows more there; undefined if there is none. */
export function widerRule(after: TokenRules, before: TokenRules): RuleName | undefined {
  return (Object.keys(before) as RuleName[]).find((rule) => !isWithin(rule, after, before));
}
