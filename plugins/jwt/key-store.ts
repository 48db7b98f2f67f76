/** Keeps one issuer's keys fresh without letting clients, outages or broken answers decide when it is asked. */
import type { CryptoKey } from 'jose';
import type { Disposer, KeySetReading, Logger } from '../../core/index.ts';
import { AskPace } from './ask-pace.ts';
import type { KeyHint } from './header.ts';
import type { KeyCache } from './key-cache.ts';
import type { KeySet } from './key-set.ts';
import { parseKeySet } from './key-set.ts';
import type { KeySource } from './key-source.ts';
import { ask, reasonOf } from './question.ts';
import { KeysUnavailable, TokenRefused } from './refusal.ts';
import { SharedSource } from './shared-source.ts';

/** How long a login waits for a question whose answer it could do without, in milliseconds. */
const PATIENCE_MS = 2_000;

/** Keys that may have signed a token, and the set they are from. */
export interface Found {
  readonly set: KeySet;
  readonly keys: readonly CryptoKey[];
}

/** What a store is made of. */
export interface KeyStoreOptions {
  /** For log lines and readiness. */
  readonly issuer: string;
  readonly source: KeySource;
  /** How long the last good set serves without a good answer, in milliseconds. */
  readonly maxStaleMs: number;
  /** Where the last good set is kept for the next start. Default: nowhere. */
  readonly cache?: KeyCache | undefined;
}

/** The keys of one issuer. Ages are measured by the monotonic clock: a clock set back must not keep keys fresh. */
export class KeyStore {
  readonly issuer: string;
  /** How long the last good set serves without a good answer, in milliseconds. */
  readonly maxStaleMs: number;
  readonly #cache: KeyCache | undefined;
  readonly #source: KeySource;
  readonly #pace: AskPace;
  #set: KeySet | undefined;
  /** The set is from the last run, and the issuer has not been heard yet. */
  #seeded = false;
  /** Counts purges: what was asked before one is not believed after it. */
  #purges = 0;
  #last: { readonly document: unknown; readonly set: KeySet; readonly purges: number } | undefined;
  #goodAt = -Infinity;
  #flight: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #users = 0;
  #abort = new AbortController();
  #log: Logger | undefined;
  readonly #shared: SharedSource | undefined;
  #unshare: (() => void) | undefined;

  constructor({ issuer, source, maxStaleMs, cache }: KeyStoreOptions) {
    this.issuer = issuer;
    this.#cache = cache;
    this.#source = source;
    this.#shared = source instanceof SharedSource ? source : undefined;
    this.#pace = new AskPace(source.pace);
    this.maxStaleMs = maxStaleMs;
  }

  /** Whether what one worker is answered is for all workers of the gateway. */
  get isShared(): boolean {
    return this.#shared !== undefined;
  }

  /** Starts asking in the background; stops when every user has let go. */
  open(log: Logger): Disposer {
    this.#log = log;
    if (this.#users++ === 0) {
      this.#abort = new AbortController();
      if (this.#shared) this.#unshare = this.#share(this.#shared);
      else void this.refresh();
    }
    return () => {
      if (--this.#users > 0) return;
      this.#unshare?.();
      clearTimeout(this.#timer);
      this.#abort.abort(new Error('the gateway stops'));
    };
  }

  /** Asks now, or joins the question under way: there is never a second one. Never rejects; `problem` tells. */
  refresh(): Promise<void> {
    this.#flight ??= this.#ask().finally(() => {
      this.#flight = undefined;
      this.#schedule();
    });
    return this.#flight;
  }

  /**
   * Takes the set of the last run, if there is one and the issuer has not been asked: before {@link open}. Never rejects. `isPurged`:
   * whether keys of that age are not to be trusted.
   */
  async seed(log: Logger, isPurged: (ageMs: number) => boolean = () => false): Promise<void> {
    if (this.#set || this.#users > 0) return;
    try {
      const kept = await this.#cache?.load();
      if (!kept || kept.ageMs > this.maxStaleMs) return;
      if (isPurged(kept.ageMs)) throw new Error('dropped by an operator since');
      this.#set = kept.set;
      this.#seeded = true;
      this.#goodAt = performance.now() - kept.ageMs;
      log.info(
        { issuer: this.issuer, ...kept.set.summary, age_s: Math.round(kept.ageMs / 1_000) },
        'kept key set loaded',
      );
    } catch (error) {
      log.warn({ issuer: this.issuer, reason: reasonOf(error) }, 'kept key set not used');
    }
  }

  /** Drops the keys now, and with them every token that was verified by them. Somebody else asks for new ones. */
  drop(): void {
    this.#purges++;
    this.#set = undefined;
    this.#goodAt = -Infinity;
    this.#pace.reason = 'dropped by an operator';
  }

  /**
   * Drops the keys now, those on disk as well, and with them every token that was verified by them; then asks anew.
   * Resolves with the answer: `problem` tells.
   */
  async purge(): Promise<void> {
    this.drop();
    await this.#shared?.drop();
    const under = this.#flight;
    const forgotten = this.#cache?.forget().catch((error: unknown) => this.#cacheFailed(error));
    await Promise.all([under, forgotten]);
    await this.refresh();
  }

  /** Why there are no keys to verify with; undefined while there are. */
  problem(): string | undefined {
    return this.#usable() ? undefined : `no keys of issuer ${this.issuer}: ${this.#pace.reason}`;
  }

  /** What there is, for those who watch. */
  get reading(): KeySetReading {
    const set = this.#usable();
    if (!set) return { issuer: this.issuer, keys: 0 };
    return {
      issuer: this.issuer,
      keys: set.size,
      ...(this.#source.kind !== 'inline' && { ageMs: performance.now() - this.#goodAt }),
      ...(this.#pace.failing && { kept: this.#pace.reason }),
      ...(this.#seeded && { fromDisk: true }),
    };
  }

  /** The set in use, at once where nothing has to be asked. @throws KeysUnavailable */
  current(): KeySet | Promise<KeySet> {
    const waits = this.#pace.isDue || (this.#seeded && this.#flight !== undefined);
    return (waits ? undefined : this.#usable()) ?? this.#currentLater();
  }

  async #currentLater(): Promise<KeySet> {
    if (this.#pace.isDue) await this.#look();
    else if (!this.#usable() && this.#flight) await this.#flight;
    // Whoever is up may say that a kept key is withdrawn.
    else if (this.#seeded && this.#flight) await this.#look();
    const set = this.#usable();
    if (!set) throw new KeysUnavailable(this.#pace.reason);
    return set;
  }

  /**
   * The keys for a token. A `kid` that is not in the set has the source asked again, as often as its pace allows.
   * @throws TokenRefused if no key fits
   * @throws KeysUnavailable if none fits and the source does not answer, so that nobody can know
   */
  async find(hint: KeyHint): Promise<Found> {
    let set = await this.current();
    let keys = await set.match(hint);
    const known = hint.kid !== undefined && set.knows(hint.kid);
    if (keys.length === 0 && !known && this.#mayAskForUnknown()) {
      await this.#look();
      set = await this.current();
      keys = await set.match(hint);
    }
    if (keys.length > 0) return { set, keys };
    if (known || !this.#pace.failing) throw new TokenRefused(set.misfit(hint));
    throw new KeysUnavailable(`no known key fits, and the issuer does not answer: ${this.#pace.reason}`);
  }

  /**
   * The keys for a token that none of `found` has signed: an issuer may have put another one in their place, under the same
   * `kid` or where none is named. Asks as {@link find} does for a new `kid`; undefined where nothing is new.
   */
  async findNewer(hint: KeyHint, found: Found): Promise<Found | undefined> {
    if (this.#mayAskForUnknown()) await this.#look();
    const set = this.#usable();
    if (!set || set === found.set) return undefined;
    const keys = await set.match(hint);
    return keys.length > 0 ? { set, keys } : undefined;
  }

  /** What another worker has asked is asked no second time. */
  #share(shared: SharedSource): () => void {
    const close = shared.open({ asked: () => void this.refresh(), dropped: () => this.drop() });
    const { last } = shared;
    if (!last || last.ageMs >= this.#source.pace.refresh) void this.refresh();
    else {
      this.#accept(this.#read(last.document), last.ageMs);
      this.#schedule();
    }
    return close;
  }

  #usable(): KeySet | undefined {
    return performance.now() - this.#goodAt <= this.maxStaleMs ? this.#set : undefined;
  }

  #mayAskForUnknown(): boolean {
    return this.#flight !== undefined || this.#pace.allowsUnknown;
  }

  /** Waits for an answer; with a set in use only for a while, since a hanging issuer must not hang logins. */
  async #look(): Promise<void> {
    if (!this.#usable()) return this.refresh();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, PATIENCE_MS);
    });
    await Promise.race([this.refresh(), patience]);
    clearTimeout(timer);
  }

  async #ask(): Promise<void> {
    this.#pace.begin();
    const purges = this.#purges;
    try {
      const set = this.#read(await ask(this.#source, this.#abort.signal));
      if (purges === this.#purges) this.#accept(set);
    } catch (error) {
      this.#pace.failed(error);
      this.#log?.warn({ issuer: this.issuer, reason: this.#pace.reason }, 'key set not refreshed');
    }
  }

  /** A file that has not changed is not parsed again, but for a purge: tokens are remembered with the set that verified them. */
  #read(document: unknown): KeySet {
    const last = this.#last;
    const isFile = last !== undefined && this.#source.kind === 'file';
    if (isFile && last.document === document && last.purges === this.#purges) return last.set;
    const set = parseKeySet(document);
    this.#last = { document, set, purges: this.#purges };
    return set;
  }

  #accept(set: KeySet, ageMs?: number): void {
    this.#goodAt = performance.now() - (ageMs ?? 0);
    if (ageMs === undefined) this.#pace.answered();
    else this.#pace.heard(ageMs);
    this.#seeded = false;
    if (!this.#shared || this.#shared.isOwn)
      this.#cache?.save(set).catch((error: unknown) => this.#cacheFailed(error));
    // An equal set stays the same object: what was verified with it stays verified.
    if (set.text === this.#set?.text) return;
    this.#set = set;
    this.#log?.info({ issuer: this.issuer, ...set.summary }, 'key set loaded');
  }

  #cacheFailed(error: unknown): void {
    this.#log?.warn({ issuer: this.issuer, reason: reasonOf(error) }, 'key set not kept on disk');
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const pause = this.#pace.pause(this.#usable() !== undefined);
    if (this.#users === 0 || pause === Infinity) return;
    // A tenth of jitter, upwards only: many gateways must not ask at once, none sooner than its pace.
    this.#timer = setTimeout(() => void this.refresh(), pause * (1 + Math.random() / 10)).unref();
  }
}
