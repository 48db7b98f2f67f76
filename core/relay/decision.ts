/** What goes up in place of a client's message. */

import type { GatewayError } from '../errors.ts';
import type { Note } from './entries.ts';
import { isCutOff } from './named-messages.ts';

/** The beginning of a longer message, changed; the rest of it goes up as it comes. */
export class Streamed {
  readonly head: Buffer;

  constructor(head: Buffer) {
    this.head = head;
  }
}

/** Bytes to send in place of a message; the message itself means unchanged; none means nothing is sent. */
export type Decision = Buffer | Streamed | undefined;

/** The same with `first` in front of it; `frame` is the message that was decided about. */
export function preceded(first: Buffer, decision: Decision, frame: Buffer): Decision {
  if (decision instanceof Streamed) return new Streamed(Buffer.concat([first, decision.head]));
  const bytes = Buffer.concat([first, ...(decision ? [decision] : [])]);
  return decision === frame && isCutOff(frame) ? new Streamed(bytes) : bytes;
}

/** What to do with one message that cannot simply pass. */
export type Step =
  | { readonly next: 'pass' }
  /** Wait until this many of the message's bytes are there. */
  | { readonly next: 'hold'; readonly bytes: number }
  /** Nothing of it goes up. */
  | { readonly next: 'drop' }
  /** Bytes (or none) go up in its place, perhaps later. */
  | { readonly next: 'replace'; readonly by: Decision | Promise<Decision>; readonly frame?: Buffer }
  | { readonly next: 'stop' };

/** The message goes up as it is. */
export const PASS: Step = { next: 'pass' };
/** Nothing of the message goes up. */
export const DROP: Step = { next: 'drop' };
/** Nothing more is read. */
export const STOP: Step = { next: 'stop' };

/** What to do with a message: send bytes with a note, answer it here, or refuse it in its place. */
export type Plan =
  | { readonly kind: 'send'; readonly bytes: Buffer; readonly note?: Note | undefined }
  | { readonly kind: 'local'; readonly note: Note }
  | { readonly kind: 'refuse'; readonly error: GatewayError };
