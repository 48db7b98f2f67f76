/** Open sessions by what a revocation names, so that one looks at the sessions that it ends and at no others. */
import type { Identity, Session } from '../../core/index.ts';
import { isRevokedBy, issuedAt } from './revocation.ts';
import type { Revocation } from './revocation.ts';
import { issuerKey, keyOf, keysOf } from './revocation-keys.ts';

/** How often all sessions are looked at for those that nobody has added, at most, in milliseconds. */
const LOOK_MS = 250;

/** What is asked of a session here. */
export type IndexedSession = Pick<Session, 'facts' | 'signal' | 'defer'>;

/** One per worker; outlives reloads, as sessions do. */
export class SessionIndex<S extends IndexedSession = Session> {
  readonly #byKey = new Map<string, Set<S>>();
  /** The keys that a session stands under. A session that was ended stays, with none: it is not to be added again. */
  readonly #keys = new Map<S, readonly string[]>();
  /** By the key of an issuer: none of its sessions came with a token that was issued before. */
  readonly #oldest = new Map<string, number>();
  #lookedAt = -Infinity;
  #later: NodeJS.Timeout | undefined;

  /** Puts a session under the keys of its identity, and of the `next` that it may be about to get; those of an earlier one are gone. Call {@link remove} at its end. */
  add(session: S, next?: Identity): void {
    const { identity } = session.facts;
    if (!identity) return;
    const identities = next && next !== identity ? [identity, next] : [identity];
    this.#setKeys(session, [...new Set(identities.flatMap(keysOf))]);
    for (const one of identities) this.#noteAge(one);
  }

  /** It has ended. */
  remove(session: S): void {
    if (!this.#keys.has(session)) return;
    this.#setKeys(session, []);
    this.#keys.delete(session);
  }

  /** The open sessions that came with such a token. Each is given once, by whichever revocation asks first. */
  take(revocation: Revocation): readonly S[] {
    const { what } = revocation;
    const key = keyOf(what);
    const before = 'before' in what ? what.before.getTime() : Infinity;
    // An issuer may have all the sessions there are.
    if (before <= (this.#oldest.get(key) ?? -Infinity)) return [];
    const found: S[] = [];
    for (const session of this.#byKey.get(key) ?? []) {
      const { identity } = session.facts;
      // A session makes its signal for whoever asks first: last.
      if (identity && isRevokedBy(revocation, identity) && !session.signal.aborted) found.push(session);
    }
    for (const session of found) this.#setKeys(session, []);
    if (this.#oldest.has(key)) this.#oldest.set(key, before);
    return found;
  }

  /**
   * Adds those of `sessions` that nobody has: of listeners without this plugin, and from before it was in the config. Looks at
   * once, but not again within a while: then later, for all who have asked meanwhile, and `late` hears which these are.
   */
  addOthers(sessions: Iterable<S>, late: (added: readonly S[]) => void): void {
    if (this.#later) return;
    const waitMs = this.#lookedAt + LOOK_MS - performance.now();
    if (waitMs <= 0) return void this.#look(sessions);
    this.#later = setTimeout(() => {
      this.#later = undefined;
      late(this.#look(sessions));
    }, waitMs).unref();
  }

  #look(sessions: Iterable<S>): readonly S[] {
    const added: S[] = [];
    for (const session of sessions) {
      if (this.#keys.has(session) || !session.facts.identity) continue;
      this.add(session);
      // No hook of this plugin runs at its end.
      session.defer(() => this.remove(session));
      added.push(session);
    }
    this.#lookedAt = performance.now();
    return added;
  }

  #noteAge(identity: Identity): void {
    const key = issuerKey(identity.issuer);
    this.#oldest.set(key, Math.min(issuedAt(identity), this.#oldest.get(key) ?? Infinity));
  }

  #setKeys(session: S, keys: readonly string[]): void {
    for (const key of this.#keys.get(session) ?? []) this.#leave(key, session);
    this.#keys.set(session, keys);
    for (const key of keys) this.#byKey.set(key, (this.#byKey.get(key) ?? new Set()).add(session));
  }

  #leave(key: string, session: S): void {
    const others = this.#byKey.get(key);
    others?.delete(session);
    if (others?.size !== 0) return;
    this.#byKey.delete(key);
    this.#oldest.delete(key);
  }
}
