/** What sessions are counted by: nothing is counted that is over the limit. */
import { GatewayError, shown } from '../../core/index.ts';
import type { Identity, MaybePromise, Places, Session, Upstream } from '../../core/index.ts';
import type { Limits } from './options.ts';

/** A session whose identity is known. */
export type Limited = Session<'identity'>;

/** One thing to count by, and how many there may be. */
interface Place {
  /** Equal for sessions that are counted together. */
  readonly key: string;
  readonly limit: number;
  /** What the client reads, as PostgreSQL has it: `too many connections for …`. */
  readonly whose: string;
  /** What sets the limit, and for whom, for the operator's log. */
  readonly by: string;
}

/** What a session is counted by; a token's own limit is for its subject. */
export function placesOf(limits: Limits, { facts }: Limited, upstream: Upstream): readonly Place[] {
  const { identity, tenant, rules } = facts;
  const { subject = Infinity, ...max } = limits.maxConnections;
  type Kind = keyof Limits['maxConnections'];
  const place = (kind: Kind, name: string | undefined, whose: string, limit = Infinity): Place[] =>
    name === undefined
      ? []
      : [{ key: `${kind} ${name}`, limit, whose, by: `limits.maxConnections.${kind} for ${shown(name)}` }];
  const { maxConnections: own = Infinity } = rules ?? {};
  const rule = own < subject && { by: `the token's rule max_connections for ${shown(identity.subject)}` };
  return [
    // Counted without a limit as well: the next token of the same subject may bring one, or the next config.
    ...place('subject', subjectOf(identity), 'this subject', Math.min(subject, own)).map((one) => ({
      ...one,
      ...rule,
    })),
    ...place('tenant', tenant, `tenant "${tenant}"`, max.tenant),
    ...place('role', upstream.role, `role "${upstream.role}"`, max.role),
    ...place('database', upstream.entry, `database "${upstream.entry}"`, max.database),
  ];
}

/** Two issuers may know different people by one name. */
function subjectOf({ issuer, subject }: Identity): string {
  return JSON.stringify([issuer, subject]);
}

/**
 * Takes all places or none, and gives back what returns them: call that once. At once where this process counts alone, or where there is no limit.
 *
 * @throws GatewayError `too_many_connections` where one is full, `cannot_connect_now` where the gateway stops meanwhile, or the store of the fleet is away and has to be asked
 */
export function takePlaces(places: Places, wanted: readonly Place[]): MaybePromise<() => void> {
  const taken = (full: string | undefined): (() => void) => {
    const over = wanted.find(({ key }) => key === full);
    if (over) throw refused(over);
    return () => places.give(wanted.map(({ key }) => key));
  };
  const answer = places.take(wanted);
  return answer instanceof Promise ? answer.then(taken, uncounted) : taken(answer);
}

function refused({ whose, limit, by }: Place): GatewayError {
  return new GatewayError('too_many_connections', `too many connections for ${whose}`, {
    detail: `There may be ${limit} at once.`,
    cause: new Error(`${limit} are open, ${limit} allowed (${by})`),
  });
}

function uncounted(cause: unknown): never {
  throw new GatewayError('cannot_connect_now', 'connections cannot be counted at the moment', {
    hint: 'Try again in a moment.',
    cause,
  });
}
