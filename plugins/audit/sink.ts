/** What takes the lines of an audit trail. */
import type { Link, SealedLines } from './chain.ts';

/** What a sink that was opened had already. */
export interface Before {
  /** Its last line; undefined for one that begins. */
  readonly last?: Link | undefined;
  /** Bytes of a line that was never finished, and is gone now. */
  readonly cut?: number;
}

/** Some of the lines will never be taken, and the others have been: to send them again is of no use. */
export class RejectedLines extends Error {
  readonly count: number;

  constructor(message: string, count: number) {
    super(message);
    this.count = count;
  }
}

/** The sink has said how long it wants to be left alone. */
export class BusySink extends Error {
  /** In milliseconds. */
  readonly pauseMs: number;

  constructor(message: string, pauseMs: number) {
    super(message);
    this.pauseMs = pauseMs;
  }
}

/** Where lines go. Its methods are called one after the other, never at once. */
export interface Sink {
  /** How it is called in messages. */
  readonly name: string;
  /** Most lines of one {@link write}. Default: no limit. */
  readonly most?: number;
  /** How long they may be together, in UTF-16 code units; one alone may be longer. Default: no limit. */
  readonly mostUnits?: number;
  /** @throws ConfigError for what cannot be used at all */
  open(): Promise<Before>;
  /** All lines or none; a call that rejects is made again with the same ones. @throws RejectedLines, BusySink */
  write(lines: SealedLines): Promise<void>;
  /** True when the next line had better be in another file. */
  full?(): boolean;
  /** What is written next begins a new file. Is called again if it rejects. */
  rotate?(): Promise<void>;
  close(): Promise<void>;
}
