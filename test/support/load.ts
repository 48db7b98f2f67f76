/** Clients that write to a ledger, one transaction after another, and remember what they were told of each. */
import { DatabaseError } from 'pg';
import type { Client } from 'pg';

/** A table `ledger (id int)` is needed. */
export class Load {
  /** Ids whose COMMIT was confirmed. */
  readonly confirmed = new Set<number>();
  /** Ids of which nobody knows: the connection ended while COMMIT was under way. */
  readonly unknown = new Set<number>();
  /** Ids whose transaction was broken before COMMIT was sent. */
  readonly broken = new Set<number>();
  /** SQLSTATE by which each client's session ended, or the message of its connection's error. */
  readonly ends: string[] = [];
  #next: number;
  #stopped = false;
  #clients: Promise<void>[] = [];

  /** @param first the first id. Default 1 */
  constructor(first = 1) {
    this.#next = first;
  }

  /** Each client goes on until {@link stop} or the end of its session. */
  start(clients: readonly Client[]): this {
    this.#clients = clients.map((client) => this.#work(client));
    return this;
  }

  /** Resolves when every client has come to its end. */
  async done(): Promise<void> {
    await Promise.all(this.#clients);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.done();
  }

  async #work(client: Client): Promise<void> {
    let end: unknown;
    client.on('error', (error) => (end ??= error));
    try {
      while (!this.#stopped) await this.#transaction(client, this.#next++);
      await client.end();
    } catch (error) {
      end ??= error;
      this.ends.push(end instanceof DatabaseError ? (end.code ?? '') : (end as Error).message);
    }
  }

  async #transaction(client: Client, id: number): Promise<void> {
    await client.query('begin');
    this.broken.add(id);
    await client.query('insert into ledger values ($1)', [id]);
    await client.query('select pg_sleep(0.01)');
    this.broken.delete(id);
    this.unknown.add(id);
    await client.query('commit');
    this.unknown.delete(id);
    this.confirmed.add(id);
  }
}
