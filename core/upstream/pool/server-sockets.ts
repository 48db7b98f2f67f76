/** Watches, resets and closes the server connections that no session has. */
import { whenClosed } from '../closing.ts';
import { IdleWatch } from './watch.ts';
import type { Member } from './member.ts';
import { STEP_MS } from './prepare.ts';
import { reset } from './reset.ts';
import type { Sharing } from './sharing.ts';

/** The options, and the callbacks for results. */
export interface ServerSocketsParts {
  readonly sharing: Sharing;
  /** Aborted when the pool ends. */
  readonly closing: AbortSignal;
  /** An idle connection cannot be used. */
  readonly spoilt: (member: Member) => void;
  readonly wasReset: (member: Member, done: boolean) => void;
  /** The server has closed it. */
  readonly closed: (member: Member) => void;
}

/**
 * Settings that most clients of an application choose alike. Not client_encoding: names and values of other settings are sent in UTF-8.
 */
const PRESET = new Set(['application_name', 'DateStyle', 'IntervalStyle', 'TimeZone', 'extra_float_digits']);

/** One per pool. */
export class ServerSockets {
  readonly #parts: ServerSocketsParts;

  constructor(parts: ServerSocketsParts) {
    this.#parts = parts;
  }

  /** Watches an idle connection. */
  watch(member: Member): void {
    const { connection } = member;
    if (connection) member.watch ??= new IdleWatch(connection, () => this.#parts.spoilt(member));
    member.watch?.start();
  }

  /** Ends the watch; false: it must not be used. */
  unwatch(member: Member): boolean {
    return member.watch?.stop() === true;
  }

  /** Removes all state that its session may have left. */
  reset(member: Member): void {
    const { connection } = member;
    if (!connection) return;
    member.busy = true;
    const { closing, sharing, wasReset } = this.#parts;
    const asks = sharing.asks(member.key.database);
    const wanted = member.applied.all.filter(({ name, from }) => from === 'client' && PRESET.has(name));
    void reset(connection, { ms: STEP_MS, closing, wanted, asks }).then(({ done, preset, lasting }) => {
      member.busy = false;
      if (lasting !== undefined) sharing.learn(member.key.database, lasting);
      member.preset = preset;
      wasReset(member, done);
    });
  }

  /** Says Terminate and waits for the server's end of the connection. */
  close(member: Member): void {
    const { connection } = member;
    if (!connection) return;
    member.ended = whenClosed(connection.channel).then(() => this.#parts.closed(member));
    connection.close();
  }
}
