/** How many sessions there are at once, as clients know it from outside. */

/** The most that there may be. */
export interface CountedLimits {
  /** Of one subject. */
  readonly subject: number;
  /** Of all together. */
  readonly database: number;
}

/**
 * A place is taken before a login is answered, and given back once the client has left. So a session that counts from the answer until just before its client leaves has
 * its place all that time, and what is above a limit by this count is above it. Those of an instance that is killed count until just before.
 */
export class SessionCount {
  /** The highest counts so far. */
  readonly most = { subject: 0, database: 0 };
  /** What was above a limit. */
  readonly above: string[] = [];
  readonly #limits: CountedLimits;
  readonly #bySubject = new Map<string, number>();
  #all = 0;

  constructor(limits: CountedLimits) {
    this.#limits = limits;
  }

  enter(subject: string): void {
    const ofSubject = (this.#bySubject.get(subject) ?? 0) + 1;
    this.#bySubject.set(subject, ofSubject);
    this.#all += 1;
    this.#compare('subject', ofSubject);
    this.#compare('database', this.#all);
  }

  leave(subject: string): void {
    this.#bySubject.set(subject, (this.#bySubject.get(subject) ?? 0) - 1);
    this.#all -= 1;
  }

  #compare(kind: keyof CountedLimits, count: number): void {
    this.most[kind] = Math.max(this.most[kind], count);
    const limit = this.#limits[kind];
    if (count > limit) this.above.push(`${count} of ${limit} per ${kind} at ${new Date().toISOString()}`);
  }
}
