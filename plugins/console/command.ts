/** A command of the console: what it works on, and what is sent when it is done. */
import type { Operations, Operator, Overview } from '../../core/index.ts';
import type { Parameters, Report } from './parameters.ts';
import type { Column, Table } from './table.ts';
import type { Transaction } from './transaction.ts';

/** What commands work on, and for whom. */
export interface Desk {
  readonly overview: Overview;
  readonly operations: Operations;
  readonly operator: Operator;
  /** Aborted when the client gives a command up, or leaves. */
  readonly signal: AbortSignal;
  /** Aborted when the client leaves. */
  readonly left: AbortSignal;
  readonly parameters: Parameters;
  readonly transaction: Transaction;
  /** Prepared by the client: one of a name, or all. */
  readonly statements: { deallocate(name: string | undefined): void };
  /** The name of the console, as the client has it. */
  readonly database: string;
  /** What BackendKeyData told the client. */
  readonly processId: number;
}

/** A NoticeResponse (manual, 55.8). */
export interface Notice {
  readonly severity: 'NOTICE' | 'WARNING';
  /** SQLSTATE (manual, Appendix A). */
  readonly code: string;
  readonly message: string;
  readonly detail?: string;
}

/** What is sent when a command is done. */
export interface Answer {
  /** CommandComplete's. */
  readonly tag: string;
  readonly table?: Table;
  readonly notice?: Notice | undefined;
  /** Parameters that have other values now, of which clients are told. */
  readonly reports?: readonly Report[];
}

/** A command that was understood. */
export interface Command {
  /** Of its result; undefined: it has none. */
  readonly columns?: readonly Column[];
  /** How many parameters it takes; nothing depends on their values. Default: none. */
  readonly parameters?: number;
  /** Carried out in a transaction that has failed as well: it ends it, or goes back to a savepoint. */
  readonly recovers?: boolean;
  run(desk: Desk): Promise<Answer> | Answer;
}
