/** What a relay is made of. */
import type { GatewayError } from '../errors.ts';
import type { Channel } from '../net/channel.ts';
import type { Logger, SessionState } from '../session.ts';
import type { Statement } from '../statement.ts';
import type { ServerConnection } from '../upstream/connection.ts';
import type { ServerSource } from './server-source.ts';
import type { Reads } from './statement-book.ts';
import type { StatementEnd } from './statement-log.ts';
import type { Tally } from './tally.ts';

/** What a relay connects, and whom it asks. */
export interface RelayOptions {
  readonly client: Channel;
  readonly server: ServerConnection;
  /** Present: server connections are given back between transactions. */
  readonly source?: ServerSource | undefined;
  /** Sets on an idle connection again what policies rely on. Absent: they rely on nothing there. */
  readonly refresh?: ((server: ServerConnection) => Promise<void>) | undefined;
  /** Hears of a connection whose server took no write (25006). Absent: nobody needs to know. */
  readonly refusedWrite?: ((server: ServerConnection) => void) | undefined;
  readonly log: Logger;
  /** Counts what passes. Default: nobody asks for it. */
  readonly tally?: Tally | undefined;
  /** `onQuery`, bound to the session; absent when nobody taps, and then no statement is ever decoded. */
  readonly query?: ((statement: Statement) => Statement | Promise<Statement>) | undefined;
  readonly reads: Reads;
  /** `SET postern.x = '…'`: rejects to refuse. */
  readonly inBand: (name: string, value: string) => Promise<void>;
  readonly maxStatementBytes: number;
  /** Absent when nobody observes statements. */
  readonly statement?: ((ended: StatementEnd) => void) | undefined;
  /** `statement` is told only from the first text on that contains this one. Default: of all. */
  readonly statementsFrom?: string | undefined;
  /** Turns whatever a hook threw into what the client may read. */
  readonly fault: (thrown: unknown) => GatewayError;
  readonly stateChanged: (state: SessionState) => void;
}
