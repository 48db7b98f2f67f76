/** Capacity that is on its way: connections that are being opened, reset or closed, each counted for one waiting request only. */
import type { Members } from './members.ts';
import type { Sharing } from './sharing.ts';
import type { Wanted } from './wanted.ts';

/** Made for one pass through the queue: every connection under way helps one waiter. */
export class UnderWay {
  readonly #members: Members;
  readonly #sharing: Sharing;
  readonly #keys = new Map<string, number>();
  readonly #roles = new Map<string, number>();
  #room: number;

  constructor(members: Members, sharing: Sharing) {
    this.#members = members;
    this.#sharing = sharing;
    this.#room = members.counts.closing;
  }

  /** Whether a connection of the key, opening or being reset, is left for one more of the same group. */
  connection({ key, owner }: Pick<Wanted, 'key' | 'owner'>): boolean {
    const { opening, resetting } = this.#members.ofKey(key);
    const share = this.#sharing.of(key.database);
    if (share === 'role') return this.#take(key.text, opening + resetting);
    const suits = this.#members.all('resetting').filter((one) => this.#sharing.fits(one, owner));
    const ofKey = suits.filter((one) => one.key.text === key.text).length;
    return this.#take(`${key.text} ${owner.circles[share]}`, ofKey) || this.#take(key.text, opening);
  }

  /** Whether a connection that is being closed leaves room for one more: in all, or of a role. */
  room(role: string | undefined): boolean {
    const left = role === undefined ? this.#room : (this.#roles.get(role) ?? this.#closingOf(role));
    if (role === undefined) this.#room -= 1;
    else this.#roles.set(role, left - 1);
    return left > 0;
  }

  #take(what: string, all: number): boolean {
    const left = this.#keys.get(what) ?? all;
    this.#keys.set(what, Math.max(0, left - 1));
    return left > 0;
  }

  #closingOf(role: string): number {
    return this.#members.ofRole(role).closing;
  }
}
