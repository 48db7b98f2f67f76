/**
 * One connection of a pool, from the decision to open it until its socket is closed, and the key that sessions must
 * share to use it.
 */
import { GatewayError } from '../../errors.ts';
import type { DatabaseName, RoleName } from '../../names.ts';
import type { Upstream } from '../../session.ts';
import type { Target } from '../../target.ts';
import type { ServerConnection } from '../connection.ts';
import type { Endpoint } from '../hosts/endpoint.ts';
import type { LeftState } from '../../left-state.ts';
import { SessionSettings } from '../session-settings.ts';
import type { Setting } from '../session-settings.ts';
import type { IdleWatch } from '../idle-watch.ts';

/** The properties that a connection's login and startup packet fix. */
export interface PoolKey {
  /** Equal for equal keys, different for different ones. */
  readonly text: string;
  readonly role: RoleName;
  readonly database: DatabaseName;
  /** False: for one session only. */
  readonly pooled: boolean;
  /** Which servers it may be on. */
  readonly target: Target;
}

const known = new WeakMap<Upstream, PoolKey>();
/** Sessions with equal keys share one object; one that is forgotten only costs memory. */
const interned = new Map<string, PoolKey>();
const MOST_INTERNED = 1_000;
let single = 0;

/**
 * The key of a session: role, database, pinned settings, and the servers that it may use. Hosts, TLS, kind of login and
 * credentials belong to the pool's entry. A replication connection cannot be reset, so each has a key of its own.
 * @param otherwise the target of a session that has none
 * @throws GatewayError `invalid_authorization_specification` without a role
 */
export function keyOf(upstream: Upstream, replicating: boolean, otherwise: Target = 'any'): PoolKey {
  const { role, database, settings, schemas, target = otherwise } = upstream;
  if (role === undefined) throw new GatewayError('invalid_authorization_specification', 'no role is mapped');
  if (replicating) return { text: `replication ${(single += 1)}`, role, database, target, pooled: false };
  const found = known.get(upstream);
  if (found) return found;
  const pins = Object.entries(settings).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const text = JSON.stringify([role, database, pins, schemas, target]);
  const key = interned.get(text) ?? remembered({ text, role, database, target, pooled: true });
  known.set(upstream, key);
  return key;
}

function remembered(key: PoolKey): PoolKey {
  interned.set(key.text, key);
  const [oldest] = interned.keys();
  if (interned.size > MOST_INTERNED && oldest !== undefined) interned.delete(oldest);
  return key;
}

// One connection of a pool, from the decision to open it until its socket is closed.

/** The state of a connection; `closing` ends when the server has closed it. */
export type PooledServerState = 'opening' | 'idle' | 'resetting' | 'lent' | 'closing';

/** How many there are in each state. */
export type Counts = Record<PooledServerState, number>;

/** A session, as far as a pool knows it. */
export interface Holder {
  /** Aborted when the session is over. */
  readonly signal?: AbortSignal;
}

/** The groups a session belongs to, from the smallest to the largest: equal texts are the same group. */
export interface IsolationScopes {
  readonly session: string;
  readonly subject: string;
  readonly tenant: string;
}

/** The session whose state a connection carries. */
export interface Owner {
  readonly fingerprint: string;
  readonly scopes: IsolationScopes;
  /** The session itself. */
  readonly holder: Holder | undefined;
  /** It keeps its connection until it ends, in a pool that lends for transactions. Default false. */
  readonly inSessionMode?: boolean | undefined;
  /** The session discards values of sequences by itself: {@link ServerConnection.sequencesOfOthers}. Default false. */
  readonly discardsSequences?: boolean | undefined;
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
export class PooledServer {
  readonly key: PoolKey;
  /** Where it is counted. */
  readonly counts: readonly Counts[];
  /** The idle ones of its key, the longest idle first; in it while it is idle. */
  readonly idleOnes: PooledServer[];
  /** Tells servers apart, for operators. */
  readonly serial = (made += 1);
  /** Milliseconds since the epoch. */
  readonly madeAt = Date.now();
  /** When it is too old to be lent, by the pool's clock. */
  readonly expiresAt: number;
  state: PooledServerState = 'opening';
  connection: ServerConnection | undefined;
  /** The run-time parameters that the server reported at the login. */
  reported: ReadonlyMap<string, string> = NOTHING;
  /** The address of its server. */
  endpoint: Endpoint | undefined;
  /** Undefined: it has the state of a new login. */
  owner: Owner | undefined;
  /** State that its owner may have left although no tag showed it: only the same session may have it as it is. */
  left: LeftState = 'nothing';
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
  unusable = false;
  /** An operator has it replaced: it is not lent again. */
  outdated = false;
  /** The session, subject and tenant that it has served since its login; null if several, undefined if none. */
  readonly served: { -readonly [Scope in keyof IsolationScopes]: string | null | undefined } = {
    session: undefined,
    subject: undefined,
    tenant: undefined,
  };
  /** The session that had it last. */
  lastHolder: Holder | undefined;
  /** The identity that had it last. */
  lastFingerprint: string | undefined;
  /** Why it stays with its session until that ends; undefined: another session may get it after a transaction. */
  pinned: string | undefined;
  /** It is lent to a session that keeps it until it ends, in a pool that lends for transactions. */
  inSessionMode = false;
  /** How often it has been lent. */
  uses = 0;
  /** By the pool's clock. */
  idleSince = 0;
  /** Active while it is idle. */
  watch: IdleWatch | undefined;
  /** Resolves when the server has closed it; undefined before it is being closed. */
  ended: Promise<void> | undefined;

  constructor(key: PoolKey, expiresAt: number, counts: readonly Counts[], idleOnes: PooledServer[] = []) {
    this.key = key;
    this.counts = counts;
    this.idleOnes = idleOnes;
    this.expiresAt = expiresAt;
  }
}
