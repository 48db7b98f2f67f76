/** The gateway's own statements on a connection. */
import { randomBytes } from 'node:crypto';
import { serialize } from 'pg-protocol';
import type { Channel } from '../net/channel.ts';
import { readReadyForQuery } from '../wire/backend.ts';
import type { ServerError } from '../wire/backend.ts';
import { BodyReader } from '../wire/body.ts';
import { Backend } from '../wire/frames.ts';
import { message } from '../wire/message.ts';
import { Conversation, errorIn, unexpected } from './conversation.ts';
import type { ServerMessage } from './server-messages.ts';

/** Values of a Bind: a string travels as text, a Buffer in binary form, null as SQL NULL. */
export type Values = readonly (string | Buffer | null)[];

/** Columns of one row in text form; null is SQL NULL. */
export type TextRow = readonly (string | null)[];

/** Rows in the order of the executions, up to the error that ended them. */
export interface Outcome {
  readonly rows: readonly TextRow[];
  readonly error?: ServerError;
}

const REPLIES: ReadonlySet<number> = new Set([
  Backend.parseComplete,
  Backend.bindComplete,
  Backend.commandComplete,
  Backend.closeComplete,
]);

/** A constant text, and the values of each of its executions. */
export interface Executions {
  readonly sql: string;
  readonly values: readonly Values[];
  /** Default: the unnamed statement. */
  readonly name?: string;
}

/**
 * One batch of the extended protocol: all of it in one transaction, values only in Bind. The statements, unnamed unless they
 * have a name, are closed, so that nothing is left for a client to execute.
 */
export function encodeExecutions(...all: readonly Executions[]): Buffer {
  const runs = all.flatMap(({ sql, values, name = '' }) => [
    serialize.parse({ name, text: sql }),
    ...values.flatMap((one) => [serialize.bind({ statement: name, values: [...one] }), serialize.execute()]),
    serialize.close({ type: 'S', name }),
  ]);
  return Buffer.concat([...runs, serialize.sync()]);
}

/** Reads what answers {@link encodeExecutions}, message by message. */
export class OutcomeReader {
  readonly #rows: TextRow[] = [];
  #error: ServerError | undefined;

  /** The outcome once ReadyForQuery is read. @throws Error for a message that answers no execution */
  read(message: ServerMessage): Outcome | undefined {
    const error = this.#error;
    if (message.type === Backend.readyForQuery && readReadyForQuery(message.body) === 'I')
      return error ? { rows: this.#rows, error } : { rows: this.#rows };
    if (error) throw unexpected(message);
    this.#error = errorIn(message);
    if (message.type === Backend.dataRow) this.#rows.push(textRow(message.body));
    else if (!this.#error && !REPLIES.has(message.type)) throw unexpected(message);
    return undefined;
  }
}

/** Reads what answers {@link encodeExecutions}, ReadyForQuery included. Notifications are `aside`. Default: none is expected. */
export async function readOutcome(
  talk: Conversation,
  aside?: (notification: ServerMessage) => void,
): Promise<Outcome> {
  const reader = new OutcomeReader();
  for (;;) {
    const message = await talk.reply();
    if (aside && message.type === Backend.notificationResponse) {
      aside(message);
      continue;
    }
    const outcome = reader.read(message);
    if (outcome) return outcome;
  }
}

/**
 * One batch of {@link encodeExecutions} on the idle connection of a session, whose statements should have names of their own:
 * its unnamed one stays then. Notifications that arrive meanwhile stay in the channel.
 */
export async function executeBetween(
  { channel, parameters }: { readonly channel: Channel; readonly parameters: Map<string, string> },
  batch: Buffer,
  signal: AbortSignal,
): Promise<Outcome> {
  const talk = new Conversation(channel, signal, parameters);
  const heard: Buffer[] = [];
  try {
    talk.send(batch);
    return await readOutcome(talk, ({ type, body }) =>
      heard.push(message(String.fromCharCode(type), [body])),
    );
  } finally {
    talk.end();
    channel.unshift(Buffer.concat(heard));
  }
}

/** A random name: a client could have prepared a statement under one that it can guess. */
export function ownName(): string {
  return `postern_${randomBytes(16).toString('hex')}`;
}

/** Sends {@link encodeExecutions} and resolves after its ReadyForQuery. */
export function execute(talk: Conversation, sql: string, values: readonly Values[]): Promise<Outcome> {
  talk.send(encodeExecutions({ sql, values }));
  return readOutcome(talk);
}

function textRow(body: Buffer): TextRow {
  const reader = new BodyReader(body);
  const columns = Array.from({ length: reader.uint16() }, () => reader.sized()?.toString('utf8') ?? null);
  reader.end();
  return columns;
}
