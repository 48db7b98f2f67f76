/** A sentinel for each address of an entry's hosts, while the entry is in use. */
import type { DatabaseOptions, HostAddress } from '../../database.ts';
import type { Upstream } from '../../session.ts';
import type { Clock } from '../pool/clock.ts';
import { open } from '../open.ts';
import type { Timeouts } from '../open.ts';
import type { ServerConnection } from '../connection.ts';
import { Names } from './names.ts';
import type { Place } from './place.ts';
import type { Entry, Finding, Roster } from './roster.ts';
import { LOOK_MS, Sentinel } from './sentinel.ts';
import type { NextLook } from './sentinel.ts';

/** The login that is used for looking: that of a session. */
export interface Asker {
  readonly database: DatabaseOptions;
  readonly upstream: Upstream;
}

/** The options of lookouts, and the callback for findings. */
export interface LookoutParts {
  /** The key of `databases`. */
  readonly entry: string;
  readonly hosts: readonly Required<HostAddress>[];
  readonly roster: Roster;
  readonly clock: Pick<Clock, 'now'>;
  readonly timeouts?: Timeouts | undefined;
  /** Gets each finding; returns when to check that place again. */
  readonly told: (entry: Entry, finding: Finding) => NextLook;
  /** The number of connections to a place: one that has any is not removed. */
  readonly load: (place: Place) => number;
}

/** How long a place is still checked after its name has stopped resolving to it, in milliseconds. */
const LINGER_MS = 60_000;
const OVER: NextLook = { ms: 0 };
const NOBODY = { user: '', database: '', parameters: {} };

/** One per pool. */
export class Lookouts {
  readonly #parts: LookoutParts;
  readonly #names: Names;
  readonly #sentinels = new Map<Entry, Sentinel>();
  readonly #listed = new Map<Entry, number>();
  readonly #lost = new Map<Required<HostAddress>, unknown>();
  #asker: Asker | undefined;

  constructor(parts: LookoutParts) {
    this.#parts = parts;
    this.#names = new Names({
      hosts: parts.hosts,
      found: (host, places) => this.#found(host, places),
      lost: (host, error) => void this.#lost.set(host, error),
    });
  }

  /** The errors of names that do not resolve. */
  get lost(): readonly unknown[] {
    return [...this.#lost.values()];
  }

  /** Starts the checks, with the login of a request; without effect where they run already. */
  start(asker: Asker): void {
    this.#asker ??= asker;
    for (const entry of this.#parts.roster.all) this.#send(entry);
    this.#names.start();
  }

  /** Continues with a login that has just been accepted. */
  continueAs(asker: Asker): void {
    this.#asker = asker;
    this.hurry(0);
  }

  /** Checks again, except places that were checked within the last `ms` milliseconds. */
  hurry(ms: number): void {
    for (const sentinel of this.#sentinels.values()) sentinel.hurry(ms);
  }

  /** Checks a place now, over a new connection. */
  renew(entry: Entry): void {
    this.#sentinels.get(entry)?.renew();
  }

  /** Stops the checks until the next start. */
  rest(): void {
    this.#names.stop();
    for (const sentinel of this.#sentinels.values()) sentinel.stop();
    this.#sentinels.clear();
    this.#asker = undefined;
    this.#parts.roster.expire();
  }

  #found(host: Required<HostAddress>, places: readonly Place[]): void {
    const { clock, roster, load } = this.#parts;
    const now = clock.now();
    this.#lost.delete(host);
    for (const place of places) {
      const entry = roster.meet(place);
      this.#listed.set(entry, now);
      this.#send(entry);
    }
    for (const [entry, at] of this.#listed) {
      if (entry.place.host !== host.host || now - at < LINGER_MS || load(entry.place) > 0) continue;
      this.#sentinels.get(entry)?.stop();
      this.#sentinels.delete(entry);
      this.#listed.delete(entry);
      roster.forget(entry);
    }
  }

  #send(entry: Entry): void {
    if (this.#sentinels.has(entry)) return;
    const sentinel: Sentinel = new Sentinel({
      open: (signal) => this.#logIn(entry.place, signal),
      // The finding of a stopped sentinel is outdated.
      told: (finding) => (this.#sentinels.get(entry) === sentinel ? this.#parts.told(entry, finding) : OVER),
    });
    this.#sentinels.set(entry, sentinel);
  }

  /** With the role of a session, and without the settings of plugins. */
  #logIn(place: Place, signal: AbortSignal): Promise<ServerConnection> {
    if (!this.#asker) return Promise.reject(new Error('nobody has asked'));
    const { database, upstream } = this.#asker;
    const { entry, timeouts = {} } = this.#parts;
    const connectMs = Math.min(LOOK_MS, timeouts.connectMs ?? LOOK_MS);
    const plain = { ...upstream, settings: {}, schemas: [], onCheckout: [] };
    return open({
      entry,
      database,
      upstream: plain,
      startup: NOBODY,
      place,
      looks: true,
      signal,
      timeouts: { ...timeouts, connectMs, loginMs: LOOK_MS },
    });
  }
}
