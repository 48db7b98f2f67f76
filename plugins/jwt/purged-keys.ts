/** Keys that operators have dropped, on a board: every worker of every instance drops them, and one that was away does so later. */
import { randomUUID } from 'node:crypto';
import type { Board, BoardChange, FleetProof, GatewayHandle } from '../../core/index.ts';
import { FleetProofs } from './fleet-proofs.ts';
import type { KeyStore } from './key-store.ts';

const BOARD = 'purged keys';
/** How far the clocks of two instances may be apart, in milliseconds. */
const SKEW_MS = 60_000;

/** The last purge of an issuer. */
export interface PurgeTold {
  /** When, in milliseconds since the epoch. */
  readonly at: number;
  /** The instance that did it, where there is a fleet. */
  readonly instance?: string | undefined;
  /** Tells it from others. */
  readonly id: string;
}

/** Every store of this issuer that a session may still meet. */
export type StoresOf = (issuer: string) => readonly KeyStore[];

/** One per worker; outlives reloads. */
export class PurgedKeys {
  readonly #board: Board<PurgeTold>;
  readonly #gateway: Pick<GatewayHandle, 'fleet'>;
  readonly #users = new Set<StoresOf>();
  /** When this worker has dropped keys of an issuer: the purge that it was. */
  readonly #done = new Map<string, string>();
  /** What the lead of this gateway has to ask for: another instance has dropped them. */
  readonly #owed = new Set<string>();
  readonly #proofs: FleetProofs | undefined;
  #leads = false;
  #unwatch: (() => void) | undefined;

  constructor(board: Board<PurgeTold>, gateway: Pick<GatewayHandle, 'fleet'>) {
    this.#board = board;
    this.#gateway = gateway;
    this.#proofs = gateway.fleet && new FleetProofs(gateway.fleet, BOARD);
    for (const [issuer, told] of board.all()) this.#done.set(issuer, JSON.stringify(told));
  }

  /** Drops keys that `storesOf` gives until the function that it returns is called. */
  open(storesOf: StoresOf): () => void {
    this.#users.add(storesOf);
    this.#unwatch ??= this.#board.watch((change) => this.#hear(change));
    this.#hear({ kind: 'missed' });
    return () => {
      this.#users.delete(storesOf);
      if (this.#users.size > 0) return;
      this.#unwatch?.();
      this.#unwatch = undefined;
    };
  }

  /** This worker asks for the keys that other instances have dropped. */
  lead(): void {
    this.#leads = true;
    this.#askForOwed();
  }

  /** Whether keys that were fetched so long ago may be among those that were dropped. */
  isOf(issuer: string, ageMs: number): boolean {
    const told = this.#board.get(issuer);
    return told !== undefined && Date.now() - ageMs <= told.at + SKEW_MS;
  }

  /** Whether there is such an issuer. */
  knows(issuer: string): boolean {
    return this.#storesOf(issuer).length > 0;
  }

  /** Drops the keys of an issuer everywhere, and asks for new ones. Resolves with why there are none, for each place of this worker that has got none. */
  async purge(issuer: string): Promise<readonly string[]> {
    const stores = this.#storesOf(issuer);
    const [first] = stores;
    if (!first) return [];
    for (const store of stores) store.drop();
    const { fleet } = this.#gateway;
    const at = Date.now();
    const told = { at, ...(fleet && { instance: fleet.id }), id: randomUUID() };
    this.#done.set(first.issuer, JSON.stringify(told));
    const until = at + SKEW_MS + Math.max(...stores.map(({ maxStaleMs }) => maxStaleMs));
    await this.#board.put(first.issuer, told, { until });
    await Promise.all(stores.map((store) => store.purge()));
    return stores.map((store) => store.problem()).filter((problem) => problem !== undefined);
  }

  /** Resolves when every live instance of the fleet has dropped all that were to be until now, or with those that have not; undefined without a fleet. */
  async proof(): Promise<FleetProof | undefined> {
    return this.#proofs?.ask();
  }

  #hear(change: BoardChange<PurgeTold>): void {
    if (change.kind === 'put') this.#take(change.id, change.value);
    if (change.kind === 'missed') for (const [issuer, told] of this.#board.all()) this.#take(issuer, told);
  }

  /** At once, so that whoever has heard of it has none of them. */
  #take(issuer: string, told: PurgeTold): void {
    const purge = JSON.stringify(told);
    if (this.#done.get(issuer) === purge) return;
    this.#done.set(issuer, purge);
    for (const store of this.#storesOf(issuer)) {
      if (store.isShared) store.drop();
      else askAgain(store);
    }
    // Whoever has dropped them asks for all workers of its gateway, and of another one the lead.
    if (told.instance === this.#gateway.fleet?.id) return;
    this.#owed.add(issuer);
    if (this.#leads) this.#askForOwed();
  }

  #askForOwed(): void {
    for (const issuer of this.#owed)
      for (const store of this.#storesOf(issuer))
        // Whoever was the lead then may have asked already.
        if (store.isShared && store.problem() !== undefined) askAgain(store);
    this.#owed.clear();
  }

  #storesOf(issuer: string): readonly KeyStore[] {
    return [...new Set([...this.#users].flatMap((storesOf) => storesOf(issuer)))];
  }
}

/** Why it has no keys then is told where it matters, and where the gateway stops it needs none. */
function askAgain(store: KeyStore): void {
  store.purge().catch(() => {});
}

/** The purges of this gateway, or of its fleet. */
export async function purgedKeys(gateway: GatewayHandle): Promise<PurgedKeys> {
  const board = await gateway.board<PurgeTold>(BOARD, { of: 'fleet' });
  return gateway.keep(BOARD, () => new PurgedKeys(board, gateway));
}
