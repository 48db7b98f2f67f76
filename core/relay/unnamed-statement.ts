/** The unnamed prepared statement: it belongs to the session, and follows it from connection to connection. */
import type { ServerConnection } from '../upstream/connection.ts';
import { Backend } from '../wire/frames.ts';
import type { Note } from './entries.ts';

/** What the statement is after a message; what it was before counts again if the server discards the message. */
interface Version {
  /** The Parse; undefined if there is no unnamed statement. */
  frame: Buffer | undefined;
  before: Version | undefined;
  discarded: boolean;
}

const none = (): Version => ({ frame: undefined, before: undefined, discarded: false });

/** One per session whose server connections change. */
export class UnnamedStatement {
  #now: Version = none();
  /** Where the newest version is prepared. */
  at: ServerConnection | undefined;

  /** The whole Parse; undefined if there is none. */
  get frame(): Buffer | undefined {
    return this.#now.frame;
  }

  /** A Parse is sent to `server`. If it fails, there is no unnamed statement any more. */
  parse(frame: Buffer, server: ServerConnection | undefined): Note {
    const now = this.#replace(Buffer.from(frame));
    this.at = server;
    let refused = false;
    return {
      answered: (type) => (refused ||= type === Backend.errorResponse),
      closed: () => (now.before = undefined),
      dropped: () => {
        if (refused) now.frame = undefined;
        else this.#takeBack(now);
      },
    };
  }

  /** A Query is sent, which drops it even if it fails, or a Close of it. Undefined if there is nothing to drop. */
  drop(): Note | undefined {
    if (!this.#now.frame) return undefined;
    const now = this.#replace(undefined);
    return { closed: () => (now.before = undefined), dropped: () => this.#takeBack(now) };
  }

  /** DISCARD ALL. */
  forget(): void {
    this.#now = none();
  }

  #replace(frame: Buffer | undefined): Version {
    this.#now = { frame, before: this.#now, discarded: false };
    return this.#now;
  }

  #takeBack(version: Version): void {
    version.discarded = true;
    while (this.#now.discarded) this.#now = this.#now.before ?? none();
  }
}
