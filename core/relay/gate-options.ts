/** The options of a gate. */
import type { GatewayError } from '../errors.ts';
import type { HookCallOptions } from './hook-call.ts';
import type { Ledger } from './ledger.ts';
import type { SharedStatements } from './shared-statements.ts';
import type { StatementLog } from './statement-log.ts';

/** What the gate needs of the relay. */
export interface GateHost {
  readonly ledger: Ledger;
  /** Present where server connections change between transactions. */
  readonly shared?: SharedStatements | undefined;
  /** Absent where no plugin observes statements. */
  readonly statements?: StatementLog | undefined;
  /** Where the session's server connection is requested, if it has none. */
  readonly unlinkedMessages: {
    /** True for a message that may be sent now, or is answered without a server. If it is not, await `connection`. */
    isReady(type: number, frame: Buffer): boolean;
    connection(): Promise<void>;
  };
  /** A run-time parameter as the server has reported it last. */
  /** See {@link RelayOptions.watches}. */
  readonly watched: boolean;
  /** A message with a statement is about to be sent to the server. */
  sends(type: number, frame: Buffer): void;
  parameter(name: string): string | undefined;
  betweenTransactions(): boolean;
  /** Makes the server send its buffered answers at once. */
  flush(): void;
  /** The refusal cannot be placed in the order of answers: the session ends with it. */
  unplaceable(error: GatewayError): void;
}

/** What the gate's decisions depend on. */
export interface GateOptions extends HookCallOptions {
  inBand(name: string, value: string): Promise<void>;
  /** Longest message that is assembled, in bytes. */
  readonly maxStatementBytes: number;
  /** Statements are observed from the first text on that contains this one. Default: from the start. */
  readonly statementsFrom?: string | undefined;
  /** Makes an error that the client may read of any value that a hook threw. */
  fault(thrown: unknown): GatewayError;
}
