/** One place of a pool: a connection with what is known of it, from the decision to open it until its socket is gone. */
import type { ServerConnection } from '../connection.ts';
import type { Place } from '../hosts/place.ts';
import { SessionSettings } from '../session-settings.ts';
import type { Setting } from '../session-settings.ts';
import type { IdleWatch } from './watch.ts';
import type { PoolKey } from './key.ts';

/** What a place is used for; `closing` ends when the server has closed the connection. */
export type MemberState = 'opening' | 'idle' | 'resetting' | 'lent' | 'closing';

/** How many there are in each state. */
export type Counts = Record<MemberState, number>;

/** A session, as far as a pool knows it. */
export interface Holder {
  /** Aborted when the session is over. */
  readonly signal?: AbortSignal;
}

/** The circles a session belongs to, from the smallest to the largest: equal texts are the same circle. */
export interface Circles {
  readonly session: string;
  readonly subject: string;
  readonly tenant: string;
}

/** Whose state a connection carries. */
export interface Owner {
  readonly fingerprint: string;
  readonly circles: Circles;
  /** The session itself. */
  readonly holder: Holder | undefined;
}

let made = 0;

/** A setting made in advance for whoever comes next. */
export interface Preset {
  readonly name: string;
  readonly value: Setting['value'];
  /** What those have who do not choose; null where the server does not report it. */
  readonly before: string | null;
}

/** Made when a connection is about to be opened. */
export class Member {
  readonly key: PoolKey;
  /** Where it is counted. */
  readonly counts: readonly Counts[];
  /** Tells members apart, for operators. */
  readonly serial = (made += 1);
  /** Milliseconds since the epoch. */
  readonly madeAt = Date.now();
  /** When it is too old to be handed out, by the pool's clock. */
  readonly expiresAt: number;
  state: MemberState = 'opening';
  connection: ServerConnection | undefined;
  /** Where it is. */
  place: Place | undefined;
  /** Undefined: it is as after its login. */
  owner: Owner | undefined;
  /** What was set for its owner when that got it. */
  applied = SessionSettings.none;
  /** Policies have wanted something else of a later turn of its owner: what is left may be of either. */
  mixed = false;
  /** What was set in advance for whoever comes next. */
  preset: readonly Preset[] = [];
  /** The gateway itself talks to the server: whoever does will say how it ended. */
  busy = false;
  /** It said what nobody asked for, or closed, while nobody used it. */
  spoilt = false;
  /** An operator wants another one in its place: it is not handed out again. */
  outdated = false;
  /** Whom it has served since its login: one of a kind, several (null), or nobody. */
  readonly served: { -readonly [Circle in keyof Circles]?: string | null } = {};
  /** Who had it last. */
  lastHolder: Holder | undefined;
  /** Why it stays with its session until that ends; undefined: it may leave after a transaction. */
  stays: string | undefined;
  /** How often it has been handed out. */
  uses = 0;
  /** By the pool's clock. */
  idleSince = 0;
  /** Runs while it is idle. */
  watch: IdleWatch | undefined;
  /** Resolves when the server has closed it; undefined before anybody has asked it to. */
  ended: Promise<void> | undefined;

  constructor(key: PoolKey, expiresAt: number, counts: readonly Counts[]) {
    this.key = key;
    this.counts = counts;
    this.expiresAt = expiresAt;
  }
}
