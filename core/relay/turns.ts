/** Server connections by turns: one for each transaction, given back when it is over, unless something must stay on it. */
import type { Logger } from '../session.ts';
import type { Ending } from './ending.ts';
import type { FromClient } from './from-client.ts';
import type { FromServer } from './from-server.ts';
import type { Gate } from './gate.ts';
import { Status } from './ledger.ts';
import type { Ledger } from './ledger.ts';
import type { Seat } from './seat.ts';
import type { SharedStatements } from './shared-statements.ts';

/** Commands that leave no state of the session behind, by the first word of their tag. */
const CLEAN = new Set(
  'SELECT INSERT UPDATE DELETE MERGE COPY FETCH MOVE BEGIN START COMMIT ROLLBACK SAVEPOINT RELEASE EXPLAIN SHOW LOCK CLOSE DEALLOCATE'.split(
    ' ',
  ),
);
/** Commands whose effect lives on the connection and is waited for there: it stays with the session until its end. */
const PINS = /^(LISTEN|PREPARE|DECLARE CURSOR|CREATE TABLE|LOAD)\b/;

/** What decides whether a transaction is over. */
export interface TurnParts {
  readonly seat: Seat;
  readonly ledger: Ledger;
  readonly gate: Gate;
  readonly fromClient: FromClient;
  readonly fromServer: FromServer;
  readonly ending: Ending;
}

/** One per session whose server connections change. */
export class Turns {
  readonly #log: Logger;
  readonly #pinned: (why: string) => void;
  #dirty = false;
  #stays = false;

  /** `pinned` is told once when the connection has to stay, for the metrics. */
  constructor(log: Logger, pinned: ((why: string) => void) | undefined) {
    this.#log = log;
    this.#pinned = pinned ?? (() => {});
  }

  /** A command has ended. */
  completed(tag: string, shared: SharedStatements | undefined): void {
    if (tag === 'DEALLOCATE ALL' || tag === 'DISCARD ALL') shared?.forgetAll();
    if (CLEAN.has(tag.split(' ', 1)[0] ?? '')) return;
    this.#dirty = true;
    const why = PINS.exec(tag)?.[1];
    if (why !== undefined) this.pin(why);
  }

  /** The connection stays until the session ends; logged once. */
  pin(why: string): void {
    if (this.#stays) return;
    this.#stays = true;
    this.#pinned(why);
    this.#log.info({ why }, 'the server connection stays with the session');
  }

  /** Gives the connection back if nothing keeps it. */
  giveBack({ seat, ledger, gate, fromClient, fromServer, ending }: TurnParts): void {
    if (this.#stays || !seat.server || ending.decided || ending.cancelling) return;
    const over = ledger.quiet && ledger.status === Status.idle && !gate.discarding;
    if (!over || fromClient.busy || !fromServer.clean || seat.queued > 0) return;
    const bad = ledger.tainted || ledger.spoilt;
    const afterwards = this.#dirty ? 'reusable' : 'clean';
    this.#dirty = false;
    seat.letGo(bad ? 'close' : afterwards, (why) => this.pin(why));
  }
}
