/** What is on its way already while the queue is gone through, so that nothing is begun twice for the same waiter. */
import type { PoolKey } from './key.ts';
import type { Members } from './members.ts';

/** Made for one pass through the queue: every connection under way helps one waiter. */
export class UnderWay {
  readonly #members: Members;
  readonly #keys = new Map<string, number>();
  readonly #roles = new Map<string, number>();
  #room: number;

  constructor(members: Members) {
    this.#members = members;
    this.#room = members.counts.closing;
  }

  /** Whether a connection of the key, opening or being reset, is left for one more. */
  connection(key: PoolKey): boolean {
    const { opening, resetting } = this.#members.ofKey(key);
    const left = this.#keys.get(key.text) ?? opening + resetting;
    this.#keys.set(key.text, Math.max(0, left - 1));
    return left > 0;
  }

  /** Whether a place, of a connection that is being closed, is left for one more: any place, or one of a role. */
  room(role: string | undefined): boolean {
    const left = role === undefined ? this.#room : (this.#roles.get(role) ?? this.#closingOf(role));
    if (role === undefined) this.#room -= 1;
    else this.#roles.set(role, left - 1);
    return left > 0;
  }

  #closingOf(role: string): number {
    return this.#members.ofRole(role).closing;
  }
}
