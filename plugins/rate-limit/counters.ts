/** What is counted outlives a reload: buckets by limit, connections by store. */
import type { Disposer, Fleet, GatewayHandle } from '../../core/index.ts';
import { Buckets } from './bucket.ts';
import { Limiter } from './limiter.ts';
import type { Counting } from './limiter.ts';
import { LeadBuckets } from './lead-buckets.ts';
import type { LimitPolicy, Policy } from './policy.ts';
import type { What } from './refusal.ts';
import { SharedBuckets } from './shared-buckets.ts';
import type { StorePolicy } from './store-policy.ts';
import { WorkerBuckets } from './worker-buckets.ts';

/** The limits of one config in force. */
export interface Counters {
  readonly limits: Readonly<Record<What, readonly Limiter[]>>;
  /** A limit that a token brings. */
  readonly limiter: (policy: LimitPolicy) => Limiter;
}

/** Values that configs share, each as long as one of them uses it. */
class Lent<T> {
  readonly #values = new Map<string, { readonly value: T; users: number }>();

  /** The value of this key, made where there is none, and what to call when it is not used any more. */
  borrow(key: string, create: () => T): { readonly value: T; readonly giveBack: () => void } {
    const entry = this.#values.get(key) ?? { value: create(), users: 0 };
    this.#values.set(key, entry);
    entry.users += 1;
    const giveBack = (): void => {
      entry.users -= 1;
      if (entry.users === 0) this.#values.delete(key);
    };
    return { value: entry.value, giveBack };
  }
}

/** Limits without a gateway around them: what a config has before its `setup`. */
export function countersOf(policy: Policy, counting: (limit: LimitPolicy) => Counting): Counters {
  const limiter = (limit: LimitPolicy): Limiter => new Limiter(limit, counting(limit));
  const { connections, failedLogins, statements, bytes } = policy.limits;
  return {
    limits: {
      connections: connections.map(limiter),
      failedLogins: failedLogins.map(limiter),
      statements: statements.map(limiter),
      bytes: bytes.map(limiter),
    },
    limiter,
  };
}

/** Counters that go on where equal limits of the config before stopped. @throws ConfigError without ioredis */
export async function openCounters(
  policy: Policy,
  gateway: GatewayHandle,
): Promise<{ readonly counters: Counters; readonly close: Disposer }> {
  const { maxKeys, failOpen } = policy;
  const lent = gateway.keep('buckets', () => new Lent<Buckets>());
  const store = policy.store ?? storeOfFleet(gateway.fleet);
  const [shared, closeStore] = store ? await openStore(store, failOpen, gateway) : [];
  const closers: (() => void)[] = [];
  const countings = new Map<string, Counting>();
  const lead = gateway.worker.of > 1 ? openLead(gateway, maxKeys) : undefined;
  const counting = ({ id, what }: LimitPolicy): Counting => {
    const known = countings.get(id);
    if (known) return known;
    const { value, giveBack } = lent.borrow(`${maxKeys} ${id}`, () => new Buckets(maxKeys));
    closers.push(giveBack);
    const borrows = what === 'statements' || what === 'bytes';
    const workers = lead && new WorkerBuckets({ lead, id, borrows, own: value });
    if (workers) closers.push(() => workers.close());
    const made = { buckets: workers ?? value, shared, failOpen };
    countings.set(id, made);
    return made;
  };
  const close = (): void => {
    for (const closer of closers) closer();
    lead?.close();
    closeStore?.();
  };
  return { counters: countersOf(policy, counting), close };
}

/** Instances of a fleet count together, with a connection of the plugin's own. */
function storeOfFleet(fleet: Fleet | undefined): StorePolicy | undefined {
  const store = fleet?.store();
  if (!fleet || !store) return undefined;
  const { url, password, ca, timeoutMs } = store;
  return { url, password, ca, timeoutMs, prefix: `postern:${fleet.name}:rate` };
}

function openLead(gateway: GatewayHandle, maxKeys: number): LeadBuckets {
  const lead = gateway.keep('lead', () => new LeadBuckets(gateway, maxKeys));
  lead.open(gateway);
  return lead;
}

async function openStore(
  policy: StorePolicy,
  failOpen: boolean,
  gateway: GatewayHandle,
): Promise<readonly [SharedBuckets, () => void]> {
  const stores = gateway.keep('stores', () => new Lent<SharedBuckets>());
  const key = JSON.stringify({
    ...policy,
    failOpen,
    password: typeof policy.password === 'function' ? { isAsked: true } : policy.password,
  });
  const { fleet } = gateway;
  const hash = fleet && ((text: string) => fleet.hash(text));
  const { value: store, giveBack } = stores.borrow(key, () => new SharedBuckets(policy, failOpen, hash));
  const user = { log: gateway.log, password: policy.password };
  try {
    await store.open(user);
  } catch (error) {
    giveBack();
    throw error;
  }
  gateway.ready(() => {
    const { problem } = store;
    if (problem === undefined) return undefined;
    const reason = `the store cannot be asked (${problem})`;
    return failOpen
      ? { note: `${reason}: this gateway counts for itself` }
      : `${reason}: what has a limit is refused`;
  });
  const close = (): void => {
    giveBack();
    store.close(user);
  };
  return [store, close];
}
