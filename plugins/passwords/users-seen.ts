/** Who still comes with a password, and since when not any more: the list that gets shorter while a company moves. */
import type { PasswordUserReading, PasswordUsers } from '../../core/index.ts';

/** Users kept at most; those who came longest ago are forgotten. Each has a password, so that nobody can fill it. */
const CAPACITY = 10_000;
const DAY_MS = 86_400_000;

/** Kept across reloads. */
export class UsersSeen implements PasswordUsers {
  readonly #users = new Map<string, PasswordUserReading>();
  /** Users and their addresses of one day, in UTC, of whom a line has been written. */
  #told = new Set<string>();
  #day = 0;

  /** Notes a login. Returns whether it is the first one of this user from this address today. */
  note(user: string, address: string, now = Date.now()): boolean {
    const logins = (this.#users.get(user)?.logins ?? 0) + 1;
    this.#users.delete(user);
    this.#users.set(user, { user, logins, lastLogin: now });
    const [oldest] = this.#users.keys();
    if (this.#users.size > CAPACITY && oldest !== undefined) this.#users.delete(oldest);
    return this.#isNews(JSON.stringify([user, address]), Math.floor(now / DAY_MS));
  }

  /** Those who came longest ago first. */
  readings(): readonly PasswordUserReading[] {
    return [...this.#users.values()];
  }

  #isNews(key: string, day: number): boolean {
    if (day !== this.#day || this.#told.size >= CAPACITY) this.#told = new Set();
    this.#day = day;
    if (this.#told.has(key)) return false;
    this.#told.add(key);
    return true;
  }
}
