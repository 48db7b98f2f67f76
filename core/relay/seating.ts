/** Whether a message finds the connection it needs: one that sits there, with all that policies rely on in force on it. */
import type { GatewayError } from '../errors.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import type { Ledger } from './ledger.ts';
import { Pause } from './pauses.ts';
import type { Pauses } from './pauses.ts';
import type { Seat } from './seat.ts';
import type { SharedStatements } from './shared-statements.ts';
import type { Turns } from './turns.ts';

/** Commands that take off what policies have set, by their tags. */
const TAKES_OFF: ReadonlySet<string> = new Set(['RESET', 'DISCARD ALL', 'DISCARD SEQUENCES']);

/** What seating needs. */
export interface SeatingParts {
  readonly seat: Seat;
  readonly ledger: Ledger;
  /** See `transaction-boundary.ts`: the next message begins a transaction. */
  readonly betweenTransactions: () => boolean;
  readonly pauses: Pauses;
  /** Present where connections change between transactions. */
  readonly turns: Turns | undefined;
  /** Sets on an idle connection again what policies rely on. Absent: they rely on nothing there. */
  readonly refresh?: ((server: ServerConnection) => Promise<void>) | undefined;
  readonly fault: (thrown: unknown) => GatewayError;
}

/** One per session. */
export class Seating {
  readonly #parts: SeatingParts;

  constructor(parts: SeatingParts) {
    this.#parts = parts;
  }

  /** A message that goes up now has to wait: what is under way has been asked with what was in force. */
  get missing(): boolean {
    const { seat, betweenTransactions } = this.#parts;
    return seat.server === undefined || (seat.stale && betweenTransactions());
  }

  /** Why the connection stays until the session ends; undefined: it does not. */
  get pinned(): string | undefined {
    return this.#parts.turns?.pinned;
  }
  /** The server has not taken all that was written. */
  get full(): boolean {
    return this.#parts.pauses.has(Pause.full);
  }
  /** The gateway sets on the connection what policies rely on. */
  get applying(): boolean {
    return this.#parts.seat.refreshing;
  }
  /** A command may have left state of the session; where tags are not read, always. */
  get dirty(): boolean {
    return this.#parts.turns?.dirty ?? true;
  }

  /** What policies rely on wants other values from here on, or has been taken off. */
  spoil(): void {
    if (this.#parts.refresh) this.#parts.seat.stale = true;
  }

  /** What hears the tags of commands that have ended; undefined where nobody needs them. */
  hearing(shared: SharedStatements | undefined): ((tag: string) => void) | undefined {
    const { turns, refresh, ledger } = this.#parts;
    if (!turns && !refresh) return undefined;
    return (tag) => {
      turns?.completed(tag, shared, ledger.headNote?.harmless === true);
      if (TAKES_OFF.has(tag)) this.spoil();
    };
  }

  /** Has the session's last connection sit down again, without any wait; false if it cannot. */
  retake(): boolean {
    const { seat, turns } = this.#parts;
    return seat.server === undefined && turns?.retake() === true;
  }

  /** Has one sit down that is as it has to be; resolves with why not, if not. */
  async take(): Promise<GatewayError | undefined> {
    const { seat, turns, refresh, fault } = this.#parts;
    try {
      if (!seat.server) await turns?.take();
      else if (refresh) await seat.refresh(refresh);
    } catch (error) {
      return fault(error);
    }
    return undefined;
  }
}
