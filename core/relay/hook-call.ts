/** Asks `onQuery` about a statement, and makes sure that what it answers is one. */
import { GatewayError } from '../errors.ts';
import type { Statement } from '../statement.ts';
import { Patience } from './patience.ts';
import type { Reads } from './statement-book.ts';
import { ParseStatement, QueryStatement } from './statements.ts';

/** What is asked, and how. */
export interface HookCallOptions {
  /** Absent when no plugin has `onQuery`. */
  readonly query?: ((statement: Statement) => Statement | Promise<Statement>) | undefined;
  readonly reads: Reads;
  /** `client_encoding` in force. */
  readonly encoding: () => string | undefined;
}

/** Encodings in which a byte of a character can look like ASCII: a policy would read another text than the server. */
const UNSAFE_ENCODINGS = new Set(['SJIS', 'SHIFT_JIS_2004', 'BIG5', 'GBK', 'UHC', 'GB18030', 'JOHAB']);

/** One per session; one statement at a time. */
export class HookCall {
  readonly #options: HookCallOptions;
  readonly #patience = new Patience();

  constructor(options: HookCallOptions) {
    this.#options = options;
  }

  /** True when a plugin wants to see it. */
  wants(statement: Statement | undefined): statement is Statement {
    if (!statement || !this.#options.query) return false;
    return statement.kind !== 'bind' || this.#options.reads === 'parameters';
  }

  /** The statement to send. Synchronous when every hook is. @throws what hooks throw */
  ask(statement: Statement): Statement | Promise<Statement> {
    const encoding = this.#options.encoding()?.toUpperCase() ?? 'UTF8';
    if (UNSAFE_ENCODINGS.has(encoding) && this.#options.reads !== 'kind') {
      throw new GatewayError('feature_not_supported', `statements in ${encoding} cannot be checked`, {
        hint: "SET client_encoding = 'UTF8'",
      });
    }
    const answer = this.#options.query?.(statement) ?? statement;
    return answer instanceof Promise ? this.race(answer) : answer;
  }

  /** The frame of what a hook answered. @throws TypeError if that is no rewrite; GatewayError where none can be sent */
  frameOf(frame: Buffer, shown: Statement, approved: Statement): Buffer {
    if (approved === shown) return frame;
    const rewritten = approved instanceof QueryStatement || approved instanceof ParseStatement;
    const same = approved.id === shown.id && approved.kind === shown.kind;
    if (!rewritten || !same || this.#options.reads === 'kind') {
      throw new TypeError('onQuery returned something that is not a rewrite of its statement by withSql()');
    }
    const encoding = this.#options.encoding() ?? 'UTF8';
    if (encoding !== 'UTF8') {
      throw new GatewayError('feature_not_supported', `statements in ${encoding} cannot be rewritten`);
    }
    return approved.frame;
  }

  /** Waits for work unless {@link cancel} comes first. */
  race<T>(work: Promise<T>): Promise<T> {
    return this.#patience.with(work);
  }

  /** The client wants no answer any more: a hook that is still thinking is not waited for. True if there was one. */
  cancel(): boolean {
    return this.#patience.cancel();
  }
}
