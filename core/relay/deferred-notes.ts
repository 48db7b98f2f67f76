/** Notes of entries whose fate is only supposed: their calls are kept until it is known that they are due. */
import { Backend } from '../wire/frames.ts';
import { lose } from './entries.ts';
import type { Note } from './entries.ts';

/** So many calls are kept; beyond them only errors are, as observers may count fewer rows, but miss no error. */
const MOST_CALLS = 1_000;

/** One per supposition. */
export class DeferredNotes {
  #calls: (() => void)[] | undefined = [];

  /** The same note for an entry of the supposition. */
  of(note: Note): Note {
    const { answered } = note;
    const deferred: Note = {
      ...note,
      closed: () => this.#call(() => note.closed?.()),
      dropped: () => this.#call(() => note.dropped?.()),
      lost: () => this.#call(() => lose(note)),
    };
    if (!answered) return deferred;
    return { ...deferred, answered: (type, bytes, body) => this.#answered(note, type, bytes, body) };
  }

  /** The supposition is true: calls are made from here on, those that were kept first. */
  release(): void {
    const calls = this.#calls ?? [];
    this.#calls = undefined;
    for (const call of calls) call();
  }

  #answered(note: Note, type: number, bytes: number, body: Buffer | undefined): void {
    if (!this.#calls) return note.answered?.(type, bytes, body);
    if (this.#calls.length >= MOST_CALLS && type !== Backend.errorResponse) return;
    // The bytes lie in the buffer that the next socket reads into.
    const kept = body && Buffer.from(body);
    this.#calls.push(() => note.answered?.(type, bytes, kept));
  }

  #call(call: () => void): void {
    if (this.#calls) this.#calls.push(call);
    else call();
  }
}
