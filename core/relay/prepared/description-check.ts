/**
 * A statement that is prepared again behind the client, on another connection than the one of its Parse or after the server has lost it: the
 * server describes it first, and the client's message waits. Where the description differs from what the client was told, it reads
 * PostgreSQL's own error for that.
 */
import { GatewayError } from '../../contract/errors.ts';
import { Frontend } from '../../wire/frames.ts';
import { encodeDescribe } from '../../wire/to-server.ts';
import { Op, ResponseAction } from '../requests/request-queue.ts';
import type { UnnamedParse } from './client-statements.ts';
import { DescribeObserver } from './description.ts';
import type { Description } from './description.ts';
import type { ParseHandler, ParseHandlerParts, PreparedStatementsHost } from './parse.ts';
import { keyOf, unnamedWithTypes } from './prepared-statement.ts';
import type { PreparedStatement } from './prepared-statement.ts';
import { nameFor, renamedParse } from './statement-names.ts';

/** As RevalidateCachedQuery of PostgreSQL reports it: drivers know it by its text or its routine, and parse anew. */
export const resultChanged = (): GatewayError =>
  new GatewayError('feature_not_supported', 'cached plan must not change result type', {
    routine: 'RevalidateCachedQuery',
  });

/** One per session. */
export class DescriptionCheck {
  readonly #host: PreparedStatementsHost;
  readonly #parts: ParseHandlerParts;
  readonly #parseHandler: ParseHandler;
  #waiting = false;
  /** The statement whose description differs. */
  #differing: PreparedStatement | UnnamedParse | undefined;

  constructor(host: PreparedStatementsHost, parts: ParseHandlerParts, parseHandler: ParseHandler) {
    this.#host = host;
    this.#parts = parts;
    this.#parseHandler = parseHandler;
  }

  /** The description has not come yet: the message that needs it waits. */
  get waiting(): boolean {
    return this.#waiting;
  }

  /** True for a Bind or Describe in front of which {@link begin} has to be called. While the order of answers is not known, there is no check. */
  isNeeded(type: number, frame: Buffer): boolean {
    if (type !== Frontend.bind && type !== Frontend.describe) return false;
    const { outOfSync, changing } = this.#host.outstanding;
    if (outOfSync || changing) return false;
    const name = nameFor(type, frame);
    if (name === '') return this.#unnamed() !== undefined;
    const statement = name === undefined ? undefined : this.#parts.names.get(name);
    if (statement?.description === undefined) return false;
    return this.#parseHandler.onConnection(statement).serverName === undefined;
  }

  /** Parse and Describe of the statement; they are among the outstanding requests then. */
  begin(type: number, frame: Buffer): Buffer {
    const statement = this.#parts.names.get(nameFor(type, frame) ?? '');
    return statement ? this.#prepare(statement) : this.#prepareUnnamed();
  }

  /** True, once, for a statement whose description differed. */
  takeDifference(statement: PreparedStatement | UnnamedParse): boolean {
    const differs = this.#differing === statement;
    this.#differing = undefined;
    return differs;
  }

  /** The unnamed statement, where it has been described and the connection does not have it. */
  #unnamed(): (UnnamedParse & { readonly frame: Buffer; readonly description: Description }) | undefined {
    const { parse, preparedAt } = this.#parts.unnamed;
    if (!parse?.frame || !parse.description || preparedAt === this.#host.link.checkOuts) return undefined;
    return parse as UnnamedParse & { readonly frame: Buffer; readonly description: Description };
  }

  #prepare(statement: PreparedStatement): Buffer {
    const { onServer } = this.#parts;
    const { key } = this.#parseHandler.onConnection(statement);
    const { serverName, before, observer } = onServer.add(key);
    this.#host.outstanding.sent(Op.parse, ResponseAction.skip, { showsError: true, ...observer });
    this.#describe(statement, (said) => {
      const { parsed, alone } = statement;
      if (key === alone) return onServer.forget(key);
      this.#host.source.known.delete(parsed);
      onServer.rename(key, keyOf(parsed, said));
    });
    return Buffer.concat([
      before,
      renamedParse(serverName, statement.again),
      encodeDescribe('S', serverName),
    ]);
  }

  #prepareUnnamed(): Buffer {
    const parse = this.#unnamed();
    if (!parse) return Buffer.alloc(0);
    const { outstanding, link } = this.#host;
    const { unnamed } = this.#parts;
    outstanding.sent(Op.parse, ResponseAction.skip, { showsError: true, ...unnamed.again(link.checkOuts) });
    this.#describe(parse, () => unnamed.outdate());
    return Buffer.concat([unnamedWithTypes(parse.frame, parse.description.types), encodeDescribe('S', '')]);
  }

  #describe(statement: PreparedStatement | UnnamedParse, differs: (said: Description) => void): void {
    this.#waiting = true;
    this.#differing = undefined;
    const told = (said: Description | undefined): void => {
      this.#waiting = false;
      if (!said || said.fingerprint === statement.description?.fingerprint) return;
      this.#differing = statement;
      differs(said);
    };
    const observer = new DescribeObserver(told, () => (this.#waiting = false));
    this.#host.outstanding.sent(Op.describe, ResponseAction.skip, observer);
  }
}
