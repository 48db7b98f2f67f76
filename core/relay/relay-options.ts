/** The options of a relay. */
import type { GatewayError } from '../contract/errors.ts';
import type { Channel } from '../net/channel.ts';
import type { Logger, SessionState } from '../contract/session.ts';
import type { Statement } from '../contract/statement.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import type { RelayEnd } from './session-end.ts';
import type { ServerSource } from './server-source.ts';
import type { SchemaClock } from './object-changes.ts';
import type { Reads } from './statements/statement-texts.ts';
import type { StatementEnd } from './statements/statement-observer.ts';
import type { KnownFunctions } from './session-state-detection.ts';
import type { SessionCounters } from './requests/outstanding-requests.ts';

/** The two connections of a relay, and the hooks and observers of its session. */
export interface RelayOptions {
  readonly client: Channel;
  /** Absent: the first transaction gets one from `source`. */
  readonly server?: ServerConnection | undefined;
  /** Present: server connections are given back between transactions. */
  readonly source?: ServerSource | undefined;
  /**
   * Sets the settings of policies again on an idle connection; `afterReset`: also those of the client's startup packet which are not
   * set any more. Absent: there are none.
   */
  readonly refresh?: ((server: ServerConnection, afterReset: boolean) => Promise<void>) | undefined;
  /** Called for a connection whose server refused a write (25006). Default: nothing. */
  refusedWrite?(server: ServerConnection): void;
  /**
   * The next session of the same identity may get the server connection as it is, if this session leaves nothing on it. Without
   * `source` only. Default false: the connection is always reset.
   */
  readonly watches?: boolean | undefined;
  /** The functions of the database. Absent: the state that functions leave is not looked for. */
  readonly functions?: KnownFunctions | undefined;
  /** The objects of the session's database, which its commands may change. Default: changes are not counted. */
  readonly schema?: SchemaClock | undefined;
  readonly log: Logger;
  /** Counts messages. Default: they are not counted. */
  readonly counters?: SessionCounters | undefined;
  /** `onQuery`, bound to the session; absent where no plugin has it, and then no statement is decoded. */
  readonly query?: ((statement: Statement) => Statement | Promise<Statement>) | undefined;
  readonly reads: Reads;
  /** `SET postern.x = '…'`: rejects to refuse. */
  inBand(name: string, value: string): Promise<void>;
  readonly maxStatementBytes: number;
  /** Absent where no plugin observes statements. */
  readonly statement?: ((ended: StatementEnd) => void) | undefined;
  /** `statement` is called only from the first text on that contains this one. Default: for all. */
  readonly statementsFrom?: string | undefined;
  /** Makes an error that the client may read of any value that a hook threw. */
  fault(thrown: unknown): GatewayError;
  stateChanged(state: SessionState): void;
  /** Called once, when the relay is over and nothing can hit its server connection any more. Default: see `done`. */
  ended?(end: RelayEnd): void;
}
