/** Whether a session of the console is in a transaction, as far as a driver can tell: every command takes effect at once. */
import { GatewayError } from '../../core/index.ts';

/** As in ReadyForQuery: none, one, or one that has failed (manual, 55.7). */
export type TransactionStatus = 'I' | 'T' | 'E';

/** One per session. */
export class Transaction {
  #status: TransactionStatus = 'I';
  #savepoints: string[] = [];

  get status(): TransactionStatus {
    return this.#status;
  }

  /** A notice where there is one already. */
  begin(): string | undefined {
    if (this.#status !== 'I') return 'there is already a transaction in progress';
    this.#status = 'T';
    return undefined;
  }

  /** A notice where there is none. */
  end(): string | undefined {
    const none = this.#status === 'I';
    this.#status = 'I';
    this.#savepoints = [];
    return none ? 'there is no transaction in progress' : undefined;
  }

  /** A command was refused: from now on every one is, up to the end. */
  fail(): void {
    if (this.#status === 'T') this.#status = 'E';
  }

  /** @throws GatewayError `in_failed_sql_transaction` */
  refuseIfFailed(): void {
    if (this.#status !== 'E') return;
    const why = 'current transaction is aborted, commands ignored until end of transaction block';
    throw new GatewayError('in_failed_sql_transaction', why);
  }

  /** @throws GatewayError `no_active_sql_transaction` */
  save(name: string): void {
    this.#refuseOutside('SAVEPOINT');
    this.#savepoints.push(name);
  }

  /** Forgets a savepoint and those behind it. @throws GatewayError as {@link save}; `invalid_savepoint_specification` */
  release(name: string): void {
    this.#refuseOutside('RELEASE SAVEPOINT');
    this.#savepoints.length = this.#placeOf(name);
  }

  /** The transaction goes on from a savepoint, which stays. @throws GatewayError as {@link release} */
  rollBackTo(name: string): void {
    this.#refuseOutside('ROLLBACK TO SAVEPOINT');
    this.#savepoints.length = this.#placeOf(name) + 1;
    this.#status = 'T';
  }

  #placeOf(name: string): number {
    const endpoint = this.#savepoints.lastIndexOf(name);
    if (endpoint >= 0) return endpoint;
    throw new GatewayError('invalid_savepoint_specification', `savepoint "${name}" does not exist`);
  }

  #refuseOutside(what: string): void {
    if (this.#status !== 'I') return;
    throw new GatewayError('no_active_sql_transaction', `${what} can only be used in transaction blocks`);
  }
}
