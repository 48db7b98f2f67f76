/**
 * Commands that free a client's names by SQL. On the server connection its statements have names of the gateway, so an empty
 * statement is prepared there under the client's name first: the server answers the command, and its completion frees the name.
 */
import { message } from '../../wire/message.ts';
import { SYNC } from '../../wire/to-server.ts';
import type { OutstandingRequests } from '../requests/outstanding-requests.ts';
import { Op, ResponseAction } from '../requests/request-queue.ts';
import type { RequestObserver } from '../requests/request-queue.ts';
import type { ClientStatements } from './client-statements.ts';
import { NO_EFFECTS, UNSHARED } from './prepared-statement.ts';
import { EMPTY, renamedParse } from './statement-names.ts';

const closeOf = (name: string): Buffer => message('C', [Buffer.from(`S${name}\0`, 'latin1')]);

/** The commands of one session that free names. One per session. */
export class Deallocations {
  readonly #names: ClientStatements;
  readonly #outstanding: OutstandingRequests;
  /** The names of commands that have not completed: of a Query, or of the portal that was bound last. */
  #due = NO_EFFECTS.deallocates;
  #portal: string | undefined;
  /** The names by portal. Present once such a portal has been bound while another one was not executed: only an Execute says which is meant. */
  #byPortal: Map<string, readonly string[]> | undefined;
  /** Those of the client's names that stand for an empty statement on the connection. Made for the first. */
  #onConnection: Set<string> | undefined;

  constructor(names: ClientStatements, outstanding: OutstandingRequests) {
    this.#names = names;
    this.#outstanding = outstanding;
  }

  /** True for names of which the session has one. */
  concern(freed: readonly string[]): boolean {
    return freed.some((name) => this.#names.has(name));
  }

  /** Each Execute is of interest: pass it to {@link executes}. */
  get readsExecutes(): boolean {
    return this.#byPortal !== undefined;
  }

  /** A DEALLOCATE of one name has completed. It is not undone by a rollback. */
  completed(): void {
    const [name, ...rest] = this.#due;
    if (name === undefined) return;
    this.#due = rest;
    this.#free(name);
  }

  #free(name: string): void {
    this.#onConnection?.delete(name);
    this.#names.remove(name);
  }

  /** True, once, where names are left on the connection at the end of a transaction: their command was refused, or not executed. */
  takeLeft(): boolean {
    const left = this.#onConnection !== undefined && this.#onConnection.size > 0;
    this.#onConnection = undefined;
    this.#due = NO_EFFECTS.deallocates;
    this.#byPortal?.clear();
    return left;
  }

  /** A Bind is sent; returns the messages in front of it, which there are where its command frees names. */
  beforeBind(portal: string, freed: readonly string[]): Buffer {
    if (this.#due.length > 0 && this.#portal !== undefined && this.#portal !== portal)
      this.#byPortal ??= new Map([[this.#portal, this.#due]]);
    if (this.#byPortal) this.#byPortal.set(portal, freed);
    this.#due = this.#byPortal ? NO_EFFECTS.deallocates : freed;
    this.#portal = portal;
    return this.#before(freed);
  }

  /** An Execute of this portal is sent. */
  executes(portal: string): RequestObserver | undefined {
    const freed = this.#byPortal?.get(portal) ?? NO_EFFECTS.deallocates;
    return freed.length === 0 ? undefined : { closed: () => freed.forEach((name) => this.#free(name)) };
  }

  /** All later messages about statements wait for the answers of the command, so there is one such message at a time. */
  #before(freed: readonly string[]): Buffer {
    const sent: Buffer[] = [];
    for (const name of new Set(freed)) {
      const statement = this.#names.get(name);
      // A long one has the client's name on the connection.
      if (!statement || statement === UNSHARED) continue;
      (this.#onConnection ??= new Set()).add(name);
      // The name may be left from a command that did not run.
      this.#outstanding.sent(Op.close, ResponseAction.skip, { showsError: true });
      this.#outstanding.sent(Op.parse, ResponseAction.skip, { showsError: true });
      sent.push(closeOf(name), renamedParse(name, EMPTY));
    }
    return Buffer.concat(sent);
  }

  /** The same for a Query, which ends the batch in front of it. */
  beforeQuery(freed: readonly string[]): Buffer {
    const begun = this.#outstanding.batch.begun;
    this.#due = freed;
    this.#portal = undefined;
    const before = this.#before(freed);
    if (before.length === 0 || begun) return before;
    // A Query inside a batch would make the connection unfit for other sessions.
    this.#outstanding.sent(Op.sync, ResponseAction.skip);
    return Buffer.concat([before, SYNC]);
  }
}
