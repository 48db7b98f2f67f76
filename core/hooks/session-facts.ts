/** The facts of one session: each is stated once, and checked before a plugin relies on it. */
import type { FactName, Facts } from '../contract/facts.ts';

/** Facts of one session by name. Not shared between sessions. */
export class SessionFacts {
  #known: Partial<Facts> = Object.freeze({});
  #fresh: FactName[] = [];
  #sealed = false;

  /** The facts stated so far; frozen, replaced as a whole by `establish` and `replace`. */
  get known(): Readonly<Partial<Facts>> {
    return this.#known;
  }

  /** States a fact. @throws Error if it was stated before, is undefined, or the login is over */
  establish<F extends FactName>(name: F, value: Facts[F]): void {
    if (value === undefined) throw new Error(`the fact '${name}' cannot be undefined`);
    if (Object.hasOwn(this.#known, name)) throw new Error(`the fact '${name}' is established already`);
    if (this.#sealed)
      throw new Error(`the fact '${name}' comes too late: facts are established during the login`);
    this.#known = Object.freeze({ ...this.#known, [name]: value });
    this.#fresh.push(name);
  }

  /** Names stated since the last call, in the order in which they were stated. */
  takeNew(): readonly FactName[] {
    const fresh = this.#fresh;
    this.#fresh = [];
    return fresh;
  }

  /** Ends the time in which facts may be stated. @throws Error if one was stated since `takeNew`: no check saw it */
  seal(): void {
    this.#sealed = true;
    if (this.#fresh.length > 0)
      throw new Error(`the fact '${this.#fresh[0]}' was established behind its checks`);
  }

  /** Puts renewed facts, which have passed their checks, in the place of the old ones. */
  replace(renewed: Readonly<Partial<Facts>>): void {
    this.#known = Object.freeze({ ...this.#known, ...renewed });
  }
}
