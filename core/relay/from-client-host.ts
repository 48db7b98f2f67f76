/** What the stream from the client needs of the relay around it. */
import type { GatewayError } from '../errors.ts';
import type { Gate } from './gate.ts';
import type { Ledger } from './ledger.ts';
import type { UnlinkedMessages } from './unlinked-messages.ts';

/** Made by the relay, used by the walker. */
export interface FromClientHost {
  readonly ledger: Ledger;
  readonly gate: Gate;
  /** The bytes are the receiver's to keep. */
  toServer(bytes: Buffer): void;
  /** A decision is awaited, and more has arrived than is kept meanwhile: no bytes until it is called with false. */
  held(waiting: boolean): void;
  /** The client said Terminate. */
  terminated(): void;
  /** The client broke the protocol: FATAL behind the answers it is still owed. */
  violated(error: GatewayError): void;
  /** A mistake or a limit of ours: FATAL at once. */
  failed(error: GatewayError): void;
  /** A message that goes to the server now has to wait for a connection, or for settings on it. */
  unlinked(): boolean;
  /** What messages mean then. */
  readonly unlinkedMessages: UnlinkedMessages;
  /** A chunk has been walked: local answers may be due. */
  walked(): void;
}
