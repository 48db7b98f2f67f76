/** The fleet: several gateways, its instances, that act as one. */
import type { Secret } from './database.ts';
import type { AskOptions, PostAnswer, Recipient } from './post.ts';

/** One instance of the fleet as it last told of itself. */
export interface FleetInstance {
  /** Random, of this start of the instance. */
  readonly id: string;
  /** `fleet.instance` of its config. */
  readonly name: string;
  /** The version of Postern that it runs. */
  readonly version: string;
  /** Says whether two run the same config: a digest of the files that the config in force was loaded from. */
  readonly config: string;
  /** When it started, in milliseconds since the epoch. */
  readonly since: number;
  /** Sessions of its clients. */
  readonly sessions: number;
  readonly workers: number;
  /** True once it takes no new logins, or will not after `drainDelay`. */
  readonly draining: boolean;
  /** How late its event loop was at most within the last second, in milliseconds. */
  readonly lagMs: number;
}

/** What is done while the store does not answer. */
export interface FleetAway {
  /** Once {@link Fleet.isStale}: `refuse` new logins, `end` sessions as well, or `goOn` with the revocations that are known. */
  readonly revocations: 'refuse' | 'end' | 'goOn';
  /** At once: `local` counts this instance's own sessions, `refuse` refuses logins that have a limit. */
  readonly limits: 'local' | 'refuse';
}

/** The store of the fleet, for what a plugin keeps there by itself. */
export interface FleetStoreAddress {
  readonly kind: 'redis';
  readonly url: string;
  readonly password: Secret | undefined;
  /** PEM file with the authorities of its certificate, absolute. Undefined: those of the system. */
  readonly ca: string | undefined;
  /** How long it may take to answer, in milliseconds. */
  readonly timeoutMs: number;
}

/** To which instances: every one, this one included; all but this one; one by its id. */
export type InstanceRecipient = 'all' | 'others' | { readonly id: string };

/** The answer of one worker of one instance. */
export interface FleetAnswer extends PostAnswer {
  /** The id of the instance. */
  readonly instance: string;
}

/** Which instances have what was put on a board. */
export interface FleetProof {
  /** How many live, this one included. */
  readonly live: number;
  /** The names of those that have not said in time that all of their workers have it. */
  readonly missing: readonly string[];
}

/** The fleet as one worker of one instance sees it. */
export interface Fleet {
  /** `fleet.name` of the config. */
  readonly name: string;
  /** The id of this instance. */
  readonly id: string;
  /** `fleet.instance` of the config. */
  readonly instance: string;
  /** Those that live, as the store last told: this one first. Only this one where it has never told. */
  readonly instances: readonly FleetInstance[];
  /** Since when the store has not answered, in milliseconds since the epoch. Undefined: it answers. */
  readonly staleSince: number | undefined;
  /** True once the store has not answered for `fleet.stale`, or has never answered. */
  readonly isStale: boolean;
  /**
   * Since when limits go by `away.limits`, in milliseconds since the epoch: the store has not answered in time, be it only once. Undefined: all instances are counted.
   */
  readonly limitsAwaySince: number | undefined;
  /** How often that has begun since the start of this instance. */
  readonly limitsAwayTimes: number;
  /** `fleet.away` of the config. */
  readonly away: FleetAway;
  /** Asked for, so that who prints this prints no password. Undefined: the store is found by Sentinels, and has no address of its own. */
  store(): FleetStoreAddress | undefined;
  /** 22 characters: equal for equal texts of one plugin in all instances, and without the fleet's secret nobody can tell of what, not by trying guesses either. */
  hash(text: string): string;
  /** Calls when one of the above has changed. One that throws is logged. The function that it returns ends that. */
  watch(changed: () => void): () => void;
  /** Asks workers of instances, and resolves with the answers of all that were asked. Never rejects. Answered as {@link Post.answer} says. */
  ask(
    instances: InstanceRecipient,
    to: Recipient,
    name: string,
    body?: unknown,
    options?: AskOptions,
  ): Promise<readonly FleetAnswer[]>;
  /** Resolves when every live instance has all that was put on a board of the fleet until now, or with those that have not. */
  proof(board: string, options?: AskOptions): Promise<FleetProof>;
}
