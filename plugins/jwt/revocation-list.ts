/** The revocations in force, in memory: asked at every login, so each question is a look into three maps. */
import type { Identity, RevocationTarget } from '../../core/index.ts';
import { isRevokedBy } from './revocation.ts';
import type { Revocation } from './revocation.ts';

/** No room is left; nothing is forgotten for a new one. */
export class ListFull extends Error {
  override readonly name = 'ListFull';
}

/** By what a token is looked up: every revocation stands under one key. */
function keyOf(what: RevocationTarget): string {
  if ('tokenId' in what) return `token ${what.tokenId}`;
  return 'subject' in what
    ? `subject ${JSON.stringify([what.issuer, what.subject])}`
    : `issuer ${what.issuer}`;
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

  /** Puts one in force; one with the same id is replaced if that ends sooner. @throws ListFull */
  add(revocation: Revocation): void {
    const before = this.#byId.get(revocation.id);
    if (before && before.until >= revocation.until) return;
    if (before) this.remove(before.id);
    if (this.size >= this.#limit) this.#forgetOver();
    if (this.size >= this.#limit) throw new ListFull(`there are ${this.#limit} revocations already`);
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
    const { issuer, subject, tokenId } = identity;
    const whats: readonly RevocationTarget[] = [
      ...(tokenId === undefined ? [] : [{ tokenId }]),
      { issuer, subject },
      { issuer, before: NEVER },
    ];
    for (const what of whats) {
      for (const revocation of this.#byKey.get(keyOf(what)) ?? []) {
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

const NEVER = new Date(0);
