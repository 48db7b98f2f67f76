/** What a gate is made of. */
import type { GatewayError } from '../errors.ts';
import type { HookCallOptions } from './hook-call.ts';
import type { Ledger } from './ledger.ts';
import type { SharedStatements } from './shared-statements.ts';
import type { StatementLog } from './statement-log.ts';

/** What the gate works with. */
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
  /** Absent when nobody observes statements. */
  readonly log?: StatementLog | undefined;
  /** Nobody does so before the first text that contains this. Default: from the start. */
  readonly statementsFrom?: string | undefined;
  /** Turns whatever a hook threw into what the client may read. */
  readonly fault: (thrown: unknown) => GatewayError;
  /** Has the server answer what it owes without more ado. */
  readonly flush: () => void;
  /** The refusal has no place in the order of answers: the session must end with it. */
  readonly unplaceable: (error: GatewayError) => void;
}
