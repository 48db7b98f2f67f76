/** What observers are told: each once, at its end, never awaited. */
import type { GatewayError } from './errors.ts';
import type { Client, CloseReason, Session } from './session.ts';
import type { Statement } from './statement.ts';

/** What every event of a session has. */
export interface Ended {
  readonly session: Session;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly durationMs: number;
  /** Present if it failed: five characters (manual, Appendix A). */
  readonly sqlstate?: string;
  /** Present if the gateway itself refused. */
  readonly error?: GatewayError;
}

/** Observable events by name. */
export interface Events {
  /** From StartupMessage to the first ReadyForQuery or the refusal. */
  login: Ended;
  /** The server connection for a session was opened, or failed. */
  connect: Ended & { readonly host: string };
  /** A statement's last answer has been relayed. For a portal, one event per Execute. */
  statement: Ended & {
    readonly id: number;
    readonly kind: Statement['kind'];
    /** Text as the server got it, at most 64 KiB. */
    readonly sql: string;
    readonly truncated: boolean;
    /** Command tags of its CommandComplete messages. */
    readonly tags: readonly string[];
    readonly rows: number;
    readonly bytesIn: number;
    readonly bytesOut: number;
  };
  /** A plugin renewed facts of an open session, or was refused. */
  renewal: Ended;
  close: Ended & { readonly reason: CloseReason };
  /** A connection ended before there was a session. */
  refused: { readonly client: Client; readonly why: string };
}

/** A name in {@link Events}. */
export type EventName = keyof Events;
