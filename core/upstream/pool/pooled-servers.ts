/** The connections of a pool: each from the decision to open it until its socket is closed, counted by state, role and key. */
import type { LeftState } from '../../sql/left-state.ts';
import type { ServerConnection } from '../connection.ts';
import type { Endpoint } from '../hosts/endpoint.ts';
import type { IdleWatch } from '../idle-watch.ts';
import type { PoolKey } from '../pool-key.ts';
import type { Preset } from '../reset.ts';
import { SessionSettings } from '../session-settings.ts';
import type { ConnectionSlot } from './connection-slots.ts';
import type { EndSignal, Holder, IsolationScopes, Owner } from './checkout-request.ts';

/** The state of a connection; `closing` ends when the server has closed it. */
export type PooledServerState = 'opening' | 'idle' | 'resetting' | 'lent' | 'closing';

/** How many there are in each state. */
export type Counts = Record<PooledServerState, number>;

let made = 0;
const NOTHING: ReadonlyMap<string, string> = new Map();
const NO_SERVERS: readonly PooledServer[] = [];

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
  /** Its slot, where several workers have a pool of its entry. */
  slot: ConnectionSlot | undefined;
  /** When its login was over, by the pool's clock. */
  readyAt = 0;
  /** The slot of its session in session mode, where several workers have a pool of its entry. */
  sessionSlot: ConnectionSlot | undefined;
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

const none = (): Counts => ({ opening: 0, idle: 0, resetting: 0, lent: 0, closing: 0 });

/** How many there are in all states together. */
export const total = (counts: Readonly<Counts>): number =>
  counts.opening + counts.idle + counts.resetting + counts.lent + counts.closing;

/** The only place that changes a server's state, so that the counts stay right. */
export class PooledServers {
  /** Called when the last session in transaction mode has ended, see {@link addTransactionSession}. */
  noTransactionSessions: () => void = () => {};
  /** Gives the slot of a session in session mode. Default: there are none. */
  sessionSlot: (role: string) => ConnectionSlot | undefined = () => undefined;
  #transactionSessions = 0;
  /** How many are lent to sessions in session mode, in a pool that lends for transactions. */
  inSessionMode = 0;
  readonly #inSessionMode = new Map<string, number>();
  /** How many have had to stay with their session so far. */
  pins = 0;
  readonly #counts = none();
  readonly #all = new Set<PooledServer>();
  readonly #roles = new Map<string, Counts>();
  readonly #keys = new Map<string, Counts>();
  /** By key; the longest idle first. */
  readonly #idle = new Map<string, PooledServer[]>();

  get size(): number {
    return this.#all.size;
  }

  get counts(): Readonly<Counts> {
    return this.#counts;
  }

  /** How many there are of a role. */
  ofRole(role: string): Readonly<Counts> {
    return this.#roles.get(role) ?? none();
  }

  /** How many there are of a key. */
  ofKey(key: Pick<PoolKey, 'text'>): Readonly<Counts> {
    return this.#keys.get(key.text) ?? none();
  }

  /** A copy. */
  all(state?: PooledServerState): readonly PooledServer[] {
    return [...this.#all].filter((server) => state === undefined || server.state === state);
  }

  add(key: PoolKey, expiresAt: number): PooledServer {
    const counts = [this.#counts, countsIn(this.#roles, key.role), countsIn(this.#keys, key.text)];
    const idle = this.#idle.get(key.text) ?? [];
    this.#idle.set(key.text, idle);
    const server = new PooledServer(key, expiresAt, counts, idle);
    this.#all.add(server);
    for (const each of counts) each[server.state] += 1;
    return server;
  }

  remove(server: PooledServer): void {
    if (!this.#all.delete(server)) return;
    const { role, text } = server.key;
    this.#unlist(server);
    this.setSessionMode(server, false);
    for (const each of server.counts) each[server.state] -= 1;
    server.slot?.gone();
    if (total(this.ofRole(role)) === 0) this.#roles.delete(role);
    if (total(this.ofKey(server.key)) > 0) return;
    this.#keys.delete(text);
    this.#idle.delete(text);
  }

  become(server: PooledServer, state: PooledServerState): void {
    this.#unlist(server);
    if (server.inSessionMode) this.setSessionMode(server, false);
    for (const each of server.counts) {
      count(each, server.state, -1);
      count(each, state, 1);
    }
    server.state = state;
    if (state === 'idle') server.idleOnes.push(server);
  }

  /** Says whether a lent one stays with a session in session mode. */
  setSessionMode(server: PooledServer, is: boolean): void {
    if (server.inSessionMode === is) return;
    server.inSessionMode = is;
    if (!is) server.sessionSlot?.gone();
    server.sessionSlot = is ? this.sessionSlot(server.key.role) : undefined;
    const by = is ? 1 : -1;
    this.inSessionMode += by;
    const { role } = server.key;
    const ofRole = this.inSessionModeOf(role) + by;
    if (ofRole === 0) this.#inSessionMode.delete(role);
    else this.#inSessionMode.set(role, ofRole);
  }

  /** {@link inSessionMode} of one role. */
  inSessionModeOf(role: string): number {
    return this.#inSessionMode.get(role) ?? 0;
  }

  /** A session in transaction mode uses the pool until `signal` is aborted. */
  addTransactionSession(signal: EndSignal): void {
    if (signal.aborted) return;
    this.#transactionSessions += 1;
    const leave = (): void => {
      this.#transactionSessions -= 1;
      if (this.#transactionSessions === 0) this.noTransactionSessions();
    };
    signal.addEventListener('abort', leave, { once: true });
  }

  /** The number of sessions in transaction mode. */
  get transactionSessions(): number {
    return this.#transactionSessions;
  }

  /** A lent one has to stay with its session until that ends; once per session. */
  pin(connection: ServerConnection, why: string): void {
    this.pins += 1;
    for (const server of this.#all) if (server.connection === connection) server.pinned = why;
  }

  /** The idle ones of a key, the longest idle first. Not a copy. */
  idleOf(key: Pick<PoolKey, 'text'>): readonly PooledServer[] {
    return this.#idle.get(key.text) ?? NO_SERVERS;
  }

  /** The idle ones on which a session has left state that no other may see. */
  leftBy(holder: Holder): readonly PooledServer[] {
    return this.all('idle').filter(({ owner, left }) => owner?.holder === holder && left === 'state');
  }

  /** The idle one that has been unused for longest, of a role or of all. */
  idleLongest(role?: string): PooledServer | undefined {
    let oldest: PooledServer | undefined;
    for (const [first] of this.#idle.values()) {
      if (!first || (role !== undefined && first.key.role !== role)) continue;
      if (!oldest || first.idleSince < oldest.idleSince) oldest = first;
    }
    return oldest;
  }

  #unlist(server: PooledServer): void {
    if (server.state !== 'idle') return;
    const { idleOnes } = server;
    // Not `splice`, which makes a list of what it removes: each transaction gets here.
    for (let i = idleOnes.lastIndexOf(server); i < idleOnes.length - 1; i += 1)
      idleOnes[i] = idleOnes[i + 1]!;
    idleOnes.pop();
  }
}

/** By name each: a server that is chosen by a variable is looked up in a table, and this is done four times per transaction. */
function count(counts: Counts, state: PooledServerState, by: 1 | -1): void {
  switch (state) {
    case 'idle':
      counts.idle += by;
      break;
    case 'lent':
      counts.lent += by;
      break;
    case 'resetting':
      counts.resetting += by;
      break;
    case 'opening':
      counts.opening += by;
      break;
    case 'closing':
      counts.closing += by;
  }
}

function countsIn(where: Map<string, Counts>, name: string): Counts {
  const counts = where.get(name) ?? none();
  where.set(name, counts);
  return counts;
}
