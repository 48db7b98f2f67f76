/** The options of a gate. */
import type { GatewayError } from '../errors.ts';
import type { HookCallOptions } from './hook-call.ts';
import type { Ledger } from './ledger.ts';
import type { SharedStatements } from './shared-statements.ts';
import type { StatementLog } from './statement-log.ts';

/** What the gate needs of the relay. */
export interface GateOptions extends HookCallOptions {
  readonly ledger: Ledger;
  /** A run-time parameter as the server has reported it last. */
  readonly parameter: (name: string) => string | undefined;
  readonly inBand: (name: string, value: string) => Promise<void>;
  /** Longest message that is assembled, in bytes. */
  readonly maxStatementBytes: number;
  /** Present where server connections change between transactions. */
  readonly shared?: SharedStatements | undefined;
  readonly betweenTransactions: () => boolean;
  /** Absent where no plugin observes statements. */
  readonly log?: StatementLog | undefined;
  /** Statements are observed from the first text on that contains this one. Default: from the start. */
  readonly statementsFrom?: string | undefined;
  /** Makes an error that the client may read of any value that a hook threw. */
  readonly fault: (thrown: unknown) => GatewayError;
  /** Makes the server send its buffered answers at once. */
  readonly flush: () => void;
  /** The refusal cannot be placed in the order of answers: the session ends with it. */
  readonly unplaceable: (error: GatewayError) => void;
}
