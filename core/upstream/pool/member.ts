/** One connection of a pool, from the decision to open it until its socket is closed. */
import type { ServerConnection } from '../connection.ts';
import type { Place } from '../hosts/place.ts';
import { SessionSettings } from '../session-settings.ts';
import type { Setting } from '../session-settings.ts';
import type { IdleWatch } from './watch.ts';
import type { PoolKey } from './key.ts';

/** The state of a connection; `closing` ends when the server has closed it. */
export type MemberState = 'opening' | 'idle' | 'resetting' | 'lent' | 'closing';

/** How many there are in each state. */
export type Counts = Record<MemberState, number>;

/** A session, as far as a pool knows it. */
export interface Holder {
  /** Aborted when the session is over. */
  readonly signal?: AbortSignal;
}

/** The groups a session belongs to, from the smallest to the largest: equal texts are the same group. */
export interface Circles {
  readonly session: string;
  readonly subject: string;
  readonly tenant: string;
}

/** The session whose state a connection carries. */
export interface Owner {
  readonly fingerprint: string;
  readonly circles: Circles;
  /** The session itself. */
  readonly holder: Holder | undefined;
}

let made = 0;
const NOTHING: ReadonlyMap<string, string> = new Map();

/** A setting that is applied in advance for the next session. */
export interface Preset {
  readonly name: string;
  readonly value: Setting['value'];
  /** The value without the setting; null where the server does not report it. */
  readonly before: string | null;
}

/** Made when a connection is about to be opened. */
export class Member {
  readonly key: PoolKey;
  /** Where it is counted. */
  readonly counts: readonly Counts[];
  /** The idle ones of its key, the longest idle first; in it while it is idle. */
  readonly idleOnes: Member[];
  /** Tells members apart, for operators. */
  readonly serial = (made += 1);
  /** Milliseconds since the epoch. */
  readonly madeAt = Date.now();
  /** When it is too old to be lent, by the pool's clock. */
  readonly expiresAt: number;
  state: MemberState = 'opening';
  connection: ServerConnection | undefined;
  /** The run-time parameters that the server reported at the login. */
  reported: ReadonlyMap<string, string> = NOTHING;
  /** The address of its server. */
  place: Place | undefined;
  /** Undefined: it has the state of a new login. */
  owner: Owner | undefined;
  /** The settings that were applied for its owner. */
  applied = SessionSettings.none;
  /** Policies had other settings in a later transaction of its owner: both may have left some. */
  mixed = false;
  /** Settings that were in force when the server had reported parameters of this content. */
  inForce: { readonly settings: SessionSettings; readonly content: number } | undefined;
  /** The settings that were applied in advance for the next session. */
  preset: readonly Preset[] = [];
  /** The gateway itself sends messages on it, and will report the result. */
  busy = false;
  /** It sent an unexpected message, or was closed, while no session had it. */
  spoilt = false;
  /** An operator has it replaced: it is not lent again. */
  outdated = false;
  /** The session, subject and tenant that it has served since its login; null if several, undefined if none. */
  readonly served: { -readonly [Circle in keyof Circles]: string | null | undefined } = {
    session: undefined,
    subject: undefined,
    tenant: undefined,
  };
  /** The session that had it last. */
  lastHolder: Holder | undefined;
  /** The identity that had it last. */
  lastFingerprint: string | undefined;
  /** Why it stays with its session until that ends; undefined: another session may get it after a transaction. */
  stays: string | undefined;
  /** How often it has been lent. */
  uses = 0;
  /** By the pool's clock. */
  idleSince = 0;
  /** Active while it is idle. */
  watch: IdleWatch | undefined;
  /** Resolves when the server has closed it; undefined before it is being closed. */
  ended: Promise<void> | undefined;

  constructor(key: PoolKey, expiresAt: number, counts: readonly Counts[], idleOnes: Member[] = []) {
    this.key = key;
    this.counts = counts;
    this.idleOnes = idleOnes;
    this.expiresAt = expiresAt;
  }
}
