/** Keeps one issuer's keys fresh without letting clients, outages or broken answers decide when it is asked. */
import type { CryptoKey } from 'jose';
import type { Disposer, Logger } from '../../core/index.ts';
import type { KeyHint } from './header.ts';
import type { KeySet } from './key-set.ts';
import { parseKeySet } from './key-set.ts';
import type { KeySource } from './key-source.ts';
import { KeysUnavailable, TokenRefused } from './refusal.ts';

/** How long one question to a source may take, in milliseconds. */
const LOAD_MS = 5_000;
/** How long a login waits for a question whose answer it could do without, in milliseconds. */
const PATIENCE_MS = 2_000;
/** Longest pause between questions while there is no set, in milliseconds. */
const LONGEST_RETRY_MS = 30_000;

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
}

/** The keys of one issuer. Ages are measured by the monotonic clock: a clock set back must not keep keys fresh. */
export class KeyStore {
  readonly #issuer: string;
  readonly #source: KeySource;
  readonly #maxStaleMs: number;
  #set: KeySet | undefined;
  #goodAt = -Infinity;
  #triedAt = -Infinity;
  #failures = 0;
  #failure = 'not asked yet';
  #flight: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #users = 0;
  #abort = new AbortController();
  #log: Logger | undefined;

  constructor({ issuer, source, maxStaleMs }: KeyStoreOptions) {
    this.#issuer = issuer;
    this.#source = source;
    this.#maxStaleMs = maxStaleMs;
  }

  /** Starts asking in the background; stops when every user has let go. */
  open(log: Logger): Disposer {
    this.#log = log;
    if (this.#users++ === 0) {
      this.#abort = new AbortController();
      void this.refresh();
    }
    return () => {
      if (--this.#users > 0) return;
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

  /** Why there are no keys to verify with; undefined while there are. */
  problem(): string | undefined {
    return this.#usable() ? undefined : `no keys of issuer ${this.#issuer}: ${this.#failure}`;
  }

  /** The set in use. @throws KeysUnavailable */
  async current(): Promise<KeySet> {
    const { wait } = this.#source.pace;
    if (performance.now() - this.#triedAt >= wait) await this.#look();
    else if (!this.#usable() && this.#flight) await this.#flight;
    const set = this.#usable();
    if (!set) throw new KeysUnavailable(this.#failure);
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
    if (known || this.#failures === 0) throw new TokenRefused('no key of the issuer fits (kid, alg)');
    throw new KeysUnavailable(`no known key fits, and the issuer does not answer: ${this.#failure}`);
  }

  #usable(): KeySet | undefined {
    return performance.now() - this.#goodAt <= this.#maxStaleMs ? this.#set : undefined;
  }

  #mayAskForUnknown(): boolean {
    return this.#flight !== undefined || performance.now() - this.#triedAt >= this.#source.pace.unknown;
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
    this.#triedAt = performance.now();
    try {
      this.#accept(parseKeySet(await this.#load()));
    } catch (error) {
      this.#failures++;
      this.#failure = reason(error);
      this.#log?.warn({ issuer: this.#issuer, reason: this.#failure }, 'key set not refreshed');
    }
  }

  async #load(): Promise<unknown> {
    const limit = new AbortController();
    const stop = () => {
      limit.abort(this.#abort.signal.reason);
    };
    this.#abort.signal.addEventListener('abort', stop);
    const timer = setTimeout(() => {
      limit.abort(new Error(`no answer within ${LOAD_MS / 1_000} s`));
    }, LOAD_MS);
    try {
      return await abortable(this.#source.load(limit.signal), limit.signal);
    } finally {
      clearTimeout(timer);
      this.#abort.signal.removeEventListener('abort', stop);
    }
  }

  #accept(set: KeySet): void {
    this.#goodAt = performance.now();
    this.#failures = 0;
    this.#failure = 'too old';
    // An equal set stays the same object: what was verified with it stays verified.
    if (set.text === this.#set?.text) return;
    this.#set = set;
    this.#log?.info({ issuer: this.#issuer, keys: set.size }, 'key set loaded');
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const pause = this.#pause();
    if (this.#users === 0 || pause === Infinity) return;
    // A tenth of jitter, upwards only: many gateways must not ask at once, none sooner than its pace.
    this.#timer = setTimeout(() => void this.refresh(), pause * (1 + Math.random() / 10)).unref();
  }

  #pause(): number {
    const { refresh, unknown, retry } = this.#source.pace;
    if (this.#failures === 0) return refresh;
    const doubled = 2 ** (this.#failures - 1);
    if (!this.#usable()) return Math.min(retry * doubled, LONGEST_RETRY_MS);
    return Math.min(Math.max(unknown, retry) * doubled, refresh);
  }
}

function reason(error: unknown): string {
  if (!(error instanceof Error)) return 'failed';
  // Connecting to several addresses fails with an error that has a code and no message.
  return error.message || ('code' in error && String(error.code)) || error.name;
}

/** Rejects when the signal aborts, for work that does not listen to it. */
function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => {
      reject(signal.reason as Error);
    });
    work.then(resolve, reject);
  });
}
