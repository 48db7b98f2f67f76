/** The batch of extended messages that is being sent, up to its Sync. */
import { Op, isExtended } from './entries.ts';

/** One per session. */
export class Batch {
  #begun = false;
  #tainted = false;
  #syncs = 0;

  /**
   * A Query or FunctionCall was sent into a batch without its Sync: PostgreSQL 18.4 then says idle although a transaction
   * is begun, and its next statement fails with XX000. The client caused it; no other session may get that connection.
   */
  get tainted(): boolean {
    return this.#tainted;
  }

  /** A message has been sent since the last Sync that only a Sync ends. */
  get begun(): boolean {
    return this.#begun;
  }

  /** How many batches have been sent to their end: equal for messages that an error in front of them drops together. */
  get syncs(): number {
    return this.#syncs;
  }

  /** A message went to the server. */
  sent(op: number): void {
    if (op === Op.sync) {
      this.#begun = false;
      this.#syncs += 1;
    } else if (isExtended(op)) this.#begun = true;
    else if (this.#begun && op !== Op.copyEnd) this.#tainted = true;
  }

  /** The Sync that seemed to end the batch was read by a COPY. */
  begin(): void {
    this.#begun = true;
  }

  /** A Query or FunctionCall was sent into the batch, as it turns out only now. */
  taint(): void {
    this.#tainted = true;
  }

  /** The session has another server connection, to which nothing has been sent. */
  reset(): void {
    this.#begun = this.#tainted = false;
  }
}
