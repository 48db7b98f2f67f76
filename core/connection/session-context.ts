/** A client's session from its startup packet to its end, with its reader and hooks. */
import type { CredentialExchange } from '../client/credential-exchange.ts';
import type { Reader } from '../client/reader.ts';
import type { GatewayError } from '../contract/errors.ts';
import type { Hooks } from '../hooks.ts';
import type { OpenSession } from './open-session.ts';

/** One per session. */
export interface SessionContext {
  readonly session: OpenSession;
  readonly reader: Reader;
  readonly hooks: Hooks;
  readonly exchange: CredentialExchange;
  /** Minor version of protocol 3. */
  readonly minor: number;
  /** The client's `replication` parameter. */
  readonly replication: string | undefined;
  /** As in {@link LoginRequest}. */
  missing?: (() => GatewayError | undefined) | undefined;
  /** Resolves when a refused client has heard what comes before its FATAL, and that; present where there is such a thing. */
  farewell?: Promise<void>;
}
