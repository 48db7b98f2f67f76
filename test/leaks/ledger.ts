/** What clients were told of what they wrote, and whether it is so. */
import type { Findings, Kind } from './findings.ts';

/** `unknown`: the connection ended while the decision was under way. */
type Outcome = 'confirmed' | 'refused' | 'unknown';

/** Unique ids, each for a number of rows that are there together or not at all. */
export class OutstandingRequests {
  readonly #outcomes: Outcome[] = [];
  readonly #rows: number[] = [];
  readonly #who: string[] = [];

  /** A new id; `unknown` until something is told of it. `who` is said where it is found wrong. */
  begin(who: string, rows = 1): number {
    this.#outcomes.push('unknown');
    this.#rows.push(rows);
    this.#who.push(who);
    return this.#outcomes.length - 1;
  }

  settle(id: number, outcome: Outcome): void {
    this.#outcomes[id] = outcome;
  }

  count(outcome: Outcome): number {
    return this.#outcomes.filter((one) => one === outcome).length;
  }

  /** Compares with how many rows of each id are there. */
  check(kind: Kind, found: ReadonlyMap<number, number>, findings: Findings): void {
    findings.trial(kind, this.#outcomes.length);
    this.#outcomes.forEach((outcome, id) => {
      const rows = found.get(id) ?? 0;
      const all = this.#rows[id] ?? 0;
      const good =
        outcome === 'confirmed' ? rows === all : rows === 0 || (outcome === 'unknown' && rows === all);
      if (!good) findings.violation(kind, `id ${id} is ${outcome}, ${rows} of ${all} rows: ${this.#who[id]}`);
    });
    for (const id of found.keys()) {
      if (!(id in this.#outcomes)) findings.violation(kind, `id ${id} was written by nobody`);
    }
  }
}
