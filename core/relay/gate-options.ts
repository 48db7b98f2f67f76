/** The options of a gate. */
import type { GatewayError } from '../errors.ts';
import type { HookCallOptions } from './hook-call.ts';
import type { Ledger } from './ledger.ts';
import type { SharedStatements } from './shared-statements.ts';
import type { StatementLog } from './statement-log.ts';

/** The relay, as the gate sees it. */
export interface GateHost {
  readonly ledger: Ledger;
  /** Present where server connections change between transactions. */
  readonly shared?: SharedStatements | undefined;
  /** Absent when nobody observes statements. */
  readonly statements?: StatementLog | undefined;
  /** A run-time parameter as the server has reported it last. */
  parameter(name: string): string | undefined;
  betweenTransactions(): boolean;
  /** Has the server answer what it owes without more ado. */
  flush(): void;
  /** The refusal has no place in the order of answers: the session must end with it. */
  unplaceable(error: GatewayError): void;
}

/** What the gate decides by. */
export interface GateOptions extends HookCallOptions {
  readonly inBand: (name: string, value: string) => Promise<void>;
  /** Longest message that is assembled, in bytes. */
  readonly maxStatementBytes: number;
  /** Nobody observes statements before the first text that contains this. Default: from the start. */
  readonly statementsFrom?: string | undefined;
  /** Makes an error that the client may read of any value that a hook threw. */
  readonly fault: (thrown: unknown) => GatewayError;
}
