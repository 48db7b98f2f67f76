/** The interface between the stream from the client and the relay. */
import type { GatewayError } from '../errors.ts';
import type { Gate } from './gate.ts';
import type { Ledger } from './ledger.ts';
import type { SharedStatements } from './shared-statements.ts';
import type { UnlinkedMessages } from './unlinked-messages.ts';

/** Implemented by the relay, called by the stream. */
export interface FromClientHost {
  readonly ledger: Ledger;
  readonly gate: Gate;
  /** Present where server connections change between transactions. */
  readonly shared?: SharedStatements | undefined;
  /** Writes a copy of them, or of a part. */
  toServer(bytes: Buffer, from?: number, to?: number): void;
  /** A message with a statement is about to be sent; `frame` is its beginning. */
  sends(type: number, frame: Buffer): void;
  /** True: a decision is awaited and enough bytes are held, so that reading has to stop. False: reading may go on. */
  held(waiting: boolean): void;
  /** The client sent Terminate. */
  terminated(): void;
  /** The client broke the protocol: FATAL after all outstanding answers. */
  violated(error: GatewayError): void;
  /** A defect or a limit of the gateway: FATAL at once. */
  failed(error: unknown): void;
  /** The next message for the server has to wait for a connection, or for settings on it. */
  unlinked(): boolean;
  /** Decides about messages while that is so. */
  readonly unlinkedMessages: UnlinkedMessages;
  /** A chunk has been processed: answers of the gateway may be due. */
  settled(): void;
  /** The client has taken all bytes that were queued for it. */
  clientDrained(): void;
  clientLost(): void;
}
