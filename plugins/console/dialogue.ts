/** The protocol with a client that has logged in to the console: one message after the other (manual, 55.2). */
import { GatewayError } from '../../core/index.ts';
import type { AnsweredConnection } from '../../core/index.ts';
import { EMPTY_QUERY_RESPONSE, Frontend, readQuery, readyForQuery, refusal } from '../../core/wire/index.ts';
import { encodeAnswer } from './answers.ts';
import type { Answer, Command } from './command.ts';
import { parseCommands } from './admin-commands.ts';
import type { Extended } from './extended.ts';
import type { Transaction } from './transaction.ts';

/** What a dialogue needs. */
export interface DialogueHost {
  readonly connection: AnsweredConnection;
  readonly transaction: Transaction;
  readonly extended: Extended;
  /** Carries a command out. Rejects with whatever went wrong. */
  run(command: Command): Promise<Answer>;
}

const STATES = {
  I: 'idle',
  T: 'idle in transaction',
  E: 'idle in transaction (aborted)',
} as const;

/** One per console session. */
export class Dialogue {
  readonly #host: DialogueHost;
  #skipping = false;

  constructor(host: DialogueHost) {
    this.#host = host;
  }

  /** Resolves at the client's Terminate. Rejects as `read` and `write` of the connection do. */
  async run(): Promise<void> {
    const { connection } = this.#host;
    for (;;) {
      const said = await connection.read();
      if (!said) return;
      await connection.write(Buffer.concat(await this.#answer(said.type, said.body)));
    }
  }

  async #answer(type: number, body: Uint8Array): Promise<readonly Uint8Array[]> {
    const { transaction, extended, connection } = this.#host;
    if (type === Frontend.sync) {
      this.#skipping = false;
      if (transaction.status === 'I') extended.transactionEnded();
      return [this.#ready()];
    }
    if (this.#skipping) return [];
    connection.changed('active');
    const simple = type === Frontend.query || type === Frontend.functionCall;
    const said: Uint8Array[] = [];
    try {
      for await (const bytes of this.#carryOut(type, body)) said.push(bytes);
    } catch (thrown) {
      this.#skipping = !simple;
      transaction.fail();
      said.push(refusal('ERROR', connection.errorOf(thrown)));
    }
    return simple ? [...said, this.#ready()] : said;
  }

  async *#carryOut(type: number, body: Uint8Array): AsyncGenerator<Uint8Array, void> {
    const { extended } = this.#host;
    switch (type) {
      case Frontend.query:
        return yield* this.#query(readQuery(body));
      case Frontend.parse:
        return yield extended.parse(body);
      case Frontend.bind:
        return yield extended.bind(body);
      case Frontend.describe:
        return yield extended.describe(body);
      case Frontend.execute:
        return yield await extended.execute(body, (command) => this.#run(command));
      case Frontend.close:
        return yield extended.close(body);
      case Frontend.functionCall:
        throw new GatewayError('feature_not_supported', 'there are no functions here');
      default:
      // Flush; and what is left of a COPY, which PostgreSQL ignores as well.
    }
  }

  /** One after the other, up to the first that fails; none where one of them is not known. */
  async *#query(text: string): AsyncGenerator<Uint8Array, void> {
    const commands = parseCommands(text);
    if (commands.length === 0) yield EMPTY_QUERY_RESPONSE;
    for (const command of commands) yield encodeAnswer(await this.#run(command));
  }

  async #run(command: Command): Promise<Answer> {
    if (command.recovers !== true) this.#host.transaction.refuseIfFailed();
    return this.#host.run(command);
  }

  #ready(): Uint8Array {
    const { connection, transaction } = this.#host;
    connection.changed(STATES[transaction.status]);
    return readyForQuery(transaction.status);
  }
}
