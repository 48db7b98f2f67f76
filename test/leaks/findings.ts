/** What was tried and what went wrong, by kind. */

/** Everything that must never happen. */
export const KINDS = {
  answers: 'answers that were foreign, lost or out of order',
  state: 'state that another identity left',
  claims: 'claims, roles and pinned settings that were not one’s own',
  settings: 'settings of a session that it did not see, or another one of the same identity saw',
  rows: 'canary rows of another identity, or one’s own missing',
  notifications: 'notifications for a channel of somebody else',
  commits: 'transactions lost, doubled, falsely confirmed or falsely refused',
  copies: 'COPYs that were stored in part',
  cancels: 'cancels that hit somebody who did not ask',
  sessions: 'sessions refused or ended for no reason',
  leftovers: 'connections, transactions or locks left when all was over',
} as const;

/** One of {@link KINDS}. */
export type Kind = keyof typeof KINDS;

/** At most so many violations are told in words; all are counted. */
const TOLD = 50;

/** One per run. */
export class Findings {
  /** Transactions for which a connection was got, and sessions of pools that lend one for all of a session. */
  checkouts = 0;
  /** Logins that came through. */
  logins = 0;
  readonly trials = new Map<Kind, number>();
  readonly violations = new Map<Kind, number>();
  /** What the run has met otherwise, to show that it happened: by name. */
  readonly events = new Map<string, number>();
  readonly #tell: (line: string) => void;
  #told = 0;

  constructor(tell: (line: string) => void) {
    this.#tell = tell;
  }

  trial(kind: Kind, times = 1): void {
    this.trials.set(kind, (this.trials.get(kind) ?? 0) + times);
  }

  violation(kind: Kind, text: string): void {
    this.violations.set(kind, (this.violations.get(kind) ?? 0) + 1);
    this.#told += 1;
    if (this.#told <= TOLD) this.#tell(`VIOLATION ${kind}: ${text}`);
  }

  event(name: string): void {
    this.events.set(name, (this.events.get(name) ?? 0) + 1);
  }

  get total(): number {
    return [...this.violations.values()].reduce((sum, count) => sum + count, 0);
  }

  /** A line for each kind, and one for what happened beside them. */
  lines(): readonly string[] {
    const kinds = Object.entries(KINDS) as [Kind, string][];
    const of = (counts: ReadonlyMap<Kind, number>, kind: Kind): string =>
      String(counts.get(kind) ?? 0).padStart(10);
    return [
      `${'kind'.padEnd(14)}${'trials'.padStart(10)}${'violations'.padStart(12)}  what`,
      ...kinds.map(
        ([kind, what]) => `${kind.padEnd(14)}${of(this.trials, kind)}  ${of(this.violations, kind)}  ${what}`,
      ),
      `happened: ${[...this.events].map(([name, count]) => `${count} ${name}`).join(', ')}`,
    ];
  }
}
