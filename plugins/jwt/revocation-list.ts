/** The revocations in force, in memory: asked at every login, so each question is a look into three maps. */
import type { Identity } from '../../core/index.ts';
import { isRevokedBy } from './revocation.ts';
import type { Revocation } from './revocation.ts';
import { keyOf, keysOf } from './revocation-keys.ts';

/** No room is left; nothing is forgotten for a new one. */
export class ListFull extends Error {
  override readonly name = 'ListFull';
}

/** Bounded, and clean of what is over. */
export class RevocationList {
  readonly #limit: number;
  readonly #byId = new Map<string, Revocation>();
  readonly #byKey = new Map<string, Set<Revocation>>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#byId.size;
  }

  /** Those in force, in the order in which they came. */
  get all(): readonly Revocation[] {
    this.#forgetOver();
    return [...this.#byId.values()];
  }

  has(id: string): boolean {
    return this.#byId.has(id);
  }

  /** The one in force with this id. */
  get(id: string): Revocation | undefined {
    const revocation = this.#byId.get(id);
    return revocation && revocation.until > Date.now() ? revocation : undefined;
  }

  /** The one in force with the same id where that ends later, and else this one. */
  longest(revocation: Revocation): Revocation {
    const before = this.#byId.get(revocation.id);
    return before && before.until >= revocation.until ? before : revocation;
  }

  /** Makes room for one, beside `more` that are on their way. @throws ListFull */
  admit({ id }: Revocation, more = 0): void {
    if (this.has(id)) return;
    if (this.size + more >= this.#limit) this.#forgetOver();
    if (this.size + more >= this.#limit) throw new ListFull(`there are ${this.#limit} revocations already`);
  }

  /** Puts one in force; one with the same id is replaced if that ends sooner. */
  add(revocation: Revocation): void {
    if (this.longest(revocation) !== revocation) return;
    this.remove(revocation.id);
    const key = keyOf(revocation.what);
    const others = this.#byKey.get(key) ?? new Set();
    this.#byKey.set(key, others.add(revocation));
    this.#byId.set(revocation.id, revocation);
  }

  /** The one that was in force under the id. */
  remove(id: string): Revocation | undefined {
    const revocation = this.#byId.get(id);
    if (!revocation) return undefined;
    this.#byId.delete(id);
    const key = keyOf(revocation.what);
    const others = this.#byKey.get(key);
    others?.delete(revocation);
    if (others?.size === 0) this.#byKey.delete(key);
    return revocation;
  }

  /** The revocation that a token falls under. */
  find(identity: Identity): Revocation | undefined {
    if (this.size === 0) return undefined;
    for (const key of keysOf(identity)) {
      for (const revocation of this.#byKey.get(key) ?? []) {
        if (revocation.until > Date.now() && isRevokedBy(revocation, identity)) return revocation;
      }
    }
    return undefined;
  }

  #forgetOver(): void {
    const now = Date.now();
    for (const { id, until } of this.#byId.values()) if (until <= now) this.remove(id);
  }
}
