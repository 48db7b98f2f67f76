/** Server connections by turns: one for each transaction, given back when it is over, unless something must stay on it. */
import type { Channel } from '../net/channel.ts';
import type { Logger } from '../session.ts';
import { parameterStatus } from '../wire/to-client.ts';
import type { Ledger } from './ledger.ts';
import type { Lender, Seat } from './seat.ts';
import type { SharedStatements } from './shared-statements.ts';
import { boundary } from './transaction-boundary.ts';
import type { BoundaryState } from './transaction-boundary.ts';

/** Commands that leave no state of the session behind, by the first word of their tag. */
const CLEAN = new Set(
  'SELECT INSERT UPDATE DELETE MERGE COPY FETCH MOVE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE EXPLAIN SHOW LOCK CLOSE DEALLOCATE NOTIFY TRUNCATE'.split(
    ' ',
  ),
);
/** Commands whose effect lives on the connection and is waited for there: it stays with the session until its end. */
const PINS = /^(LISTEN|PREPARE|DECLARE CURSOR|CREATE TABLE|LOAD)$/;

/** Who takes turns. */
export interface TurnsHost {
  readonly client: Channel;
  readonly log: Logger;
  readonly lender: Pick<Lender, 'parameters' | 'pinned'>;
  readonly seat: Seat;
  readonly ledger: Ledger;
}

/** One per session whose server connections change. */
export class Turns {
  readonly #host: TurnsHost;
  #dirty = false;
  #pinned: string | undefined;

  constructor(host: TurnsHost) {
    this.#host = host;
  }

  /** Why the connection stays until the session ends; undefined: it does not. */
  get pinned(): string | undefined {
    return this.#pinned;
  }
  /** A command of this transaction may have left state of the session. */
  get dirty(): boolean {
    return this.#dirty;
  }

  /** Has a connection sit down. Rejects with why there is none. */
  async take(): Promise<undefined> {
    const { seat, ledger, lender, client } = this.#host;
    await seat.take();
    ledger.changed();
    // What it reports otherwise than the last one did, and the client cannot know.
    for (const [name, value] of seat.server?.parameters ?? []) {
      if (lender.parameters.get(name) === value) continue;
      lender.parameters.set(name, value);
      client.write(parameterStatus(name, value));
    }
  }

  /** Has the last connection sit down again, without any wait; false if it cannot. */
  retake(): boolean {
    const taken = this.#host.seat.retake();
    if (taken) this.#host.ledger.changed();
    return taken;
  }

  /** A command has ended; `harmless` where its text says that it leaves nothing. */
  completed(tag: string, shared: SharedStatements | undefined, harmless: boolean): void {
    if (tag === 'DEALLOCATE ALL' || tag === 'DISCARD ALL') shared?.forgetAll();
    const end = tag.indexOf(' ');
    if (harmless || CLEAN.has(end < 0 ? tag : tag.slice(0, end))) return;
    this.#dirty = true;
    const why = PINS.exec(tag)?.[1];
    if (why !== undefined) this.pin(why);
  }

  /** The connection stays until the session ends; logged once. */
  pin(why: string): void {
    if (this.#pinned !== undefined) return;
    this.#pinned = why;
    this.#host.lender.pinned?.(why);
    this.#host.log.info({ why }, 'the server connection stays with the session');
  }

  /** Gives the connection back if nothing keeps it. */
  giveBack(state: BoundaryState): void {
    const { seat } = this.#host;
    if (!seat.server) return;
    const at = boundary(state, 'check-in');
    if (!at.free) return;
    this.#dirty = false;
    seat.letGo(at.server === 'dirty' ? 'reusable' : at.server, (why) => this.pin(why));
  }
}
