/** What the stream from the client needs of the relay around it. */
import type { GatewayError } from '../errors.ts';
import type { Gate } from './gate.ts';
import type { Ledger } from './ledger.ts';
import type { Vacancy } from './vacancy.ts';

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
  readonly seating: {
    /** There is no connection for a message. */
    readonly missing: boolean;
    /** Gets one; resolves with why not, if not. */
    take(): Promise<GatewayError | undefined>;
  };
  /** What messages mean where there is none. */
  readonly vacancy: Vacancy;
  /** A chunk has been walked: local answers may be due. */
  walked(): void;
}
