/** Checks of facts before plugins rely on them: the plugins' checks, their promises, and rules that a plugin must enforce. */
import { GatewayError } from '../contract/errors.ts';
import type { SessionFacts } from './session-facts.ts';
import type { FactName, Facts, RuleName, TokenRules } from '../contract/facts.ts';
import type { AnyPlugin } from '../contract/plugin.ts';
import type { MaybePromise, Session } from '../contract/session.ts';
import { after, isPromise } from './settle.ts';

function internal(why: string): GatewayError {
  return new GatewayError('internal_error', 'the login failed inside the gateway', { cause: new Error(why) });
}

type Checks = { readonly [F in FactName]?: (value: unknown, session: Session, renewed: boolean) => unknown };

/** Facts, and how they come to be checked. */
interface Checked {
  readonly session: Session;
  readonly facts: Readonly<Partial<Facts>>;
  readonly names: readonly FactName[];
  readonly renewed: boolean;
}

/** One check after the other, from the `first` on, plugin by plugin; synchronous where all of them are. */
function runChecks(plugins: readonly AnyPlugin[], checked: Checked, first = 0): MaybePromise<void> {
  const { session, facts, names, renewed } = checked;
  for (let n = first; n < plugins.length * names.length; n += 1) {
    const checks = plugins[Math.floor(n / names.length)]?.checks as Checks | undefined;
    const name = names[n % names.length];
    if (!checks || name === undefined || facts[name] === undefined) continue;
    const done: unknown = checks[name]?.(facts[name], session, renewed);
    if (isPromise(done)) return after(done, () => runChecks(plugins, checked, n + 1));
  }
}

/**
 * Runs every plugin's checks for the facts that `by` has just established; synchronous where all of them are.
 * @throws GatewayError `internal_error` if `by` does not provide one of them; what a check throws
 */
export function checkNewFacts(
  plugins: readonly AnyPlugin[],
  by: AnyPlugin,
  session: Session,
  facts: SessionFacts,
): MaybePromise<void> {
  for (let names = facts.takeNew(); names.length > 0; names = facts.takeNew()) {
    const foreign = names.find((name) => !by.provides?.includes(name));
    if (foreign) throw internal(`plugin '${by.name}' established '${foreign}', which it does not provide`);
    const done = runChecks(plugins, { session, facts: facts.known, names, renewed: false });
    if (isPromise(done)) return after(done, () => checkNewFacts(plugins, by, session, facts));
  }
}

/** Runs every plugin's checks for the facts that the gateway itself has established. @throws what a check throws */
export async function checkOwnFacts(
  plugins: readonly AnyPlugin[],
  session: Session,
  facts: SessionFacts,
): Promise<void> {
  await runChecks(plugins, { session, facts: facts.known, names: facts.takeNew(), renewed: false });
}

/** Refuses a login whose plugin left out a fact it promised. @throws GatewayError `internal_error` */
export function refuseBrokenPromises(plugin: AnyPlugin, known: Readonly<Partial<Facts>>): void {
  const missing = plugin.provides?.find((name) => known[name] === undefined);
  if (missing) throw internal(`plugin '${plugin.name}' provides '${missing}' and did not establish it`);
}

/**
 * Refuses a token rule that no plugin of the set enforces: a limit that is not enforced is worse than none.
 * @throws GatewayError `invalid_authorization_specification`; its cause names the rule
 */
export function requireEnforced(plugins: readonly AnyPlugin[], rules: TokenRules | undefined): void {
  if (!rules || Object.keys(rules).length === 0) return;
  const enforced = new Set<string>(plugins.flatMap((plugin) => plugin.enforces ?? []));
  const idle = Object.keys(rules).find(
    (rule) => rules[rule as RuleName] !== undefined && !enforced.has(rule),
  );
  if (idle === undefined) return;
  throw new GatewayError(
    'invalid_authorization_specification',
    'the token carries a rule that this gateway does not enforce',
    { cause: new Error(`no plugin in this scope enforces the token rule '${idle}'`) },
  );
}

/** Checks facts that shall replace known ones, rules included; the first error rejects, and so does a fact taken away. */
export async function renewFacts(
  plugins: readonly AnyPlugin[],
  session: Session,
  facts: Readonly<Partial<Facts>>,
): Promise<void> {
  const names = Object.keys(facts) as FactName[];
  const gone = names.find((name) => facts[name] === undefined);
  if (gone) throw new Error(`the fact '${gone}' cannot be undefined`);
  requireEnforced(plugins, facts.rules);
  await runChecks(plugins, { session, facts, names, renewed: true });
}
