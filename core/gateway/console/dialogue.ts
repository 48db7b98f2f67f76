/** The protocol with a client that has logged in to the console: one message after the other (manual, 55.2). */
import { ClientGone } from '../../client/reader.ts';
import type { Reader } from '../../client/reader.ts';
import { GatewayError } from '../../errors.ts';
import { FRONTEND_LIMIT, Frontend, HEADER_BYTES, frontendViolation } from '../../wire/frames.ts';
import { readQuery } from '../../wire/frontend.ts';
import { EMPTY_QUERY_RESPONSE, readyForQuery, refusal } from '../../wire/to-client.ts';
import { encodeAnswer } from './answers.ts';
import type { Answer, Command } from './command.ts';
import { parseCommands } from './commands.ts';
import type { Extended } from './extended.ts';
import type { Transaction } from './transaction.ts';

/** What a dialogue needs of the session. */
export interface DialogueHost {
  readonly reader: Reader;
  readonly transaction: Transaction;
  readonly extended: Extended;
  /** Carries a command out. Rejects with whatever went wrong. */
  run(command: Command): Promise<Answer>;
  /** Makes anything thrown what the client may read. */
  fault(thrown: unknown): GatewayError;
  /** A request begins, or ReadyForQuery is about to be sent. */
  busy(is: boolean): void;
  /** A session that has been told to end says no more. */
  readonly over: boolean;
}

/** No command is as long as this, in bytes. */
const LONGEST_MESSAGE = 65_536;

/** One per console session. */
export class Dialogue {
  readonly #host: DialogueHost;
  #skipping = false;
  #drained: () => void = () => {};

  constructor(host: DialogueHost) {
    this.#host = host;
    const { reader } = host;
    reader.channel.listen({
      bytes: (chunk) => reader.bytes(chunk),
      drained: () => this.#drained(),
      closed: (error) => {
        reader.closed(error);
        this.#drained();
      },
    });
  }

  /** Resolves at the client's Terminate. @throws GatewayError for what breaks the protocol; ClientGone */
  async run(): Promise<void> {
    for (;;) {
      const { type, body } = await this.#next();
      if (type === Frontend.terminate) return;
      await this.#send(Buffer.concat(await this.#answer(type, body)));
    }
  }

  async #next(): Promise<{ readonly type: number; readonly body: Buffer }> {
    const { reader } = this.#host;
    const head = await reader.exactly(HEADER_BYTES);
    const [type, word] = [head.readUInt8(0), head.readUInt32BE(1)];
    if (word < 4 || word > (FRONTEND_LIMIT[type] ?? 0)) throw frontendViolation(type, word);
    if (word > LONGEST_MESSAGE) throw new GatewayError('protocol_violation', 'the message is too long');
    return { type, body: await reader.exactly(word - 4) };
  }

  /** A client that does not read its answers is not asked for more questions. */
  async #send(bytes: Buffer): Promise<void> {
    const { reader, over } = this.#host;
    if (over) throw new ClientGone('the session is over');
    if (bytes.length === 0 || reader.channel.write(bytes)) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
      if (reader.channel.closed || reader.channel.queued === 0) resolve();
    });
  }

  async #answer(type: number, body: Buffer): Promise<readonly Buffer[]> {
    const { transaction, extended } = this.#host;
    if (type === Frontend.sync) {
      this.#skipping = false;
      if (transaction.status === 'I') extended.transactionEnded();
      return [this.#ready()];
    }
    if (this.#skipping) return [];
    this.#host.busy(true);
    const simple = type === Frontend.query || type === Frontend.functionCall;
    const said: Buffer[] = [];
    try {
      for await (const bytes of this.#carryOut(type, body)) said.push(bytes);
    } catch (thrown) {
      this.#skipping = !simple;
      transaction.fail();
      said.push(refusal('ERROR', this.#host.fault(thrown)));
    }
    return simple ? [...said, this.#ready()] : said;
  }

  async *#carryOut(type: number, body: Buffer): AsyncGenerator<Buffer, void> {
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
  async *#query(text: string): AsyncGenerator<Buffer, void> {
    const commands = parseCommands(text);
    if (commands.length === 0) yield EMPTY_QUERY_RESPONSE;
    for (const command of commands) yield encodeAnswer(await this.#run(command));
  }

  async #run(command: Command): Promise<Answer> {
    if (command.recovers !== true) this.#host.transaction.refuseIfFailed();
    return this.#host.run(command);
  }

  #ready(): Buffer {
    this.#host.busy(false);
    return readyForQuery(this.#host.transaction.status);
  }
}
