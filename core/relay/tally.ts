/** Counts the messages of one session; the caller adds sessions up. */
import { Kind, Op } from './entries.ts';

/** One per session. */
export class Tally {
  /** ReadyForQuery messages that the client got. */
  queries = 0;
  /** Those of them without an open transaction. */
  transactions = 0;
  /** Parse messages of the client. */
  clientParses = 0;
  /** Parse messages that went to the server, those of the gateway's own included. */
  serverParses = 0;
  /** Bind messages of the client. */
  binds = 0;

  /** A message was sent to the server, or will be answered by the gateway. */
  sent(op: number, kind: number): void {
    if (op === Op.bind) this.binds += 1;
    if (op !== Op.parse) return;
    if (kind !== Kind.swallow) this.clientParses += 1;
    if (kind !== Kind.local) this.serverParses += 1;
  }

  /** A ReadyForQuery passed to the client; `idle`: no transaction is open. */
  ready(idle: boolean): void {
    this.queries += 1;
    if (idle) this.transactions += 1;
  }
}
