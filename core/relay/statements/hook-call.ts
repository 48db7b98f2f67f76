/** Calls `onQuery` with a statement, and checks that its result is one. The wait for it ends early if the client cancels. */
import { GatewayError } from '../../contract/errors.ts';
import type { Statement } from '../../contract/statement.ts';
import type { Reads } from './statement-texts.ts';
import { ParseStatement, QueryStatement } from './statement.ts';

/** One per session, for one hook at a time. */
class CancellableWait {
  #giveUp: ((error: GatewayError) => void) | undefined;

  /** Settles as `work` does, or rejects at {@link cancel}. @throws GatewayError `query_canceled` */
  async with<T>(work: Promise<T>): Promise<T> {
    try {
      return await Promise.race([
        work,
        new Promise<never>((_, reject) => {
          this.#giveUp = reject;
        }),
      ]);
    } finally {
      this.#giveUp = undefined;
    }
  }

  /** Ends the wait; true if there was one. */
  cancel(): boolean {
    const giveUp = this.#giveUp;
    giveUp?.(new GatewayError('query_canceled', 'canceling statement due to user request'));
    return giveUp !== undefined;
  }
}

/** The hook, and what it reads of a statement. */
export interface HookCallOptions {
  /** Absent when no plugin has `onQuery`. */
  readonly query?: ((statement: Statement) => Statement | Promise<Statement>) | undefined;
  readonly reads: Reads;
}

/** One per session; one statement at a time. */
export class HookCall {
  readonly #options: HookCallOptions;
  readonly #wait = new CancellableWait();

  constructor(options: HookCallOptions) {
    this.#options = options;
  }

  /** True when a plugin reads this kind of statement. */
  wants(statement: Statement | undefined): statement is Statement {
    if (!statement || !this.#options.query) return false;
    return statement.kind !== 'bind' || this.#options.reads === 'parameters';
  }

  /** The statement to send. Synchronous when every hook is. @throws what hooks throw */
  ask(statement: Statement): Statement | Promise<Statement> {
    const answer = this.#options.query?.(statement) ?? statement;
    return answer instanceof Promise ? this.race(answer) : answer;
  }

  /** The message of the statement that a hook returned. @throws TypeError if that is no rewrite */
  frameOf(frame: Buffer, shown: Statement, approved: Statement): Buffer {
    if (approved === shown) return frame;
    const rewritten = approved instanceof QueryStatement || approved instanceof ParseStatement;
    const same = approved.id === shown.id && approved.kind === shown.kind;
    if (!rewritten || !same || this.#options.reads === 'kind') {
      throw new TypeError('onQuery returned something that is not a rewrite of its statement by withSql()');
    }
    return approved.frame;
  }

  /** Waits for `work`, or until {@link cancel}. */
  race<T>(work: Promise<T>): Promise<T> {
    return this.#wait.with(work);
  }

  /** The client cancels: a running hook is not awaited any more. True if there was one. */
  cancel(): boolean {
    return this.#wait.cancel();
  }
}
