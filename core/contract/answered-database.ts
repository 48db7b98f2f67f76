/** A database that a plugin answers itself: its clients are logged in as others are, and get no server connection. */
import type { Credential } from './credential.ts';
import type { GatewayError } from './errors.ts';
import type { Identity } from './facts.ts';
import type { LoginSession, MaybePromise, Session, SessionState } from './session.ts';

/** A message of a client (manual, 55.7): what `postern/wire` reads. */
export interface ClientMessage {
  /** The first byte. */
  readonly type: number;
  /** What follows the length. */
  readonly body: Uint8Array;
}

/** The connection of a client that has been admitted. The plugin speaks the protocol over it, from `open` to `serve`'s end. */
export interface AnsweredConnection {
  /**
   * Ends the login: AuthenticationOk, the parameters, a cancel key, ReadyForQuery. Call it once, before all else.
   * @param parameters told now by ParameterStatus; kept for what operators see, with the values they have then
   * @param cancel called for each CancelRequest of this session
   * @returns the process id that the client was told
   */
  open(parameters: ReadonlyMap<string, string>, cancel: () => void): number;
  /**
   * The next message, undefined at the client's Terminate.
   * @throws GatewayError `protocol_violation` for what is no message of a client, or one longer than 64 KiB; Error when the client
   * has gone. Let both pass
   */
  read(): Promise<ClientMessage | undefined>;
  /** The bytes must not change afterwards. Resolves when the client takes more. @throws Error when the session is over: let it pass */
  write(bytes: Uint8Array): Promise<void>;
  /** What the session does from now on; anything but `active` counts a request as done. */
  changed(state: Exclude<SessionState, 'starting'>): void;
  /** What the client may read of anything thrown: what is no GatewayError becomes XX000 with an id that is in the log. */
  errorOf(thrown: unknown): GatewayError;
}

/** By its name in `databases` of a plugin. It is there for the sessions of the plugin's scope. */
export interface AnsweredDatabase {
  /** The credentials that open it, for a warning at the start where no listener takes one. Default: all. */
  readonly credentials?: readonly Credential[];
  /** Only operators are admitted: a config without `admin.operators` does not start. Default false. */
  readonly operators?: boolean;
  /**
   * Says who the client is, in the place of every `onAuth`: throw to refuse. After it the checks of the identity run; the session ends
   * when the identity does. Replication is refused.
   */
  admit(session: LoginSession): MaybePromise<Identity>;
  /**
   * Answers the client. The session ends with it: at its end as one that its client has left, with the GatewayError that it throws
   * as a FATAL. Ends that come from elsewhere are told to the client, and let `read` and `write` fail.
   */
  serve(session: Session<'identity'>, connection: AnsweredConnection): Promise<void>;
}
