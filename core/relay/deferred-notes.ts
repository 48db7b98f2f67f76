/** Holds the calls of notes back while their requests are outstanding in one possibility only, until that one turns out true. */
import { Backend } from '../wire/frames.ts';
import { lose } from './entries.ts';
import type { Note } from './entries.ts';

/** Most calls that are held; beyond them only errors are, because observers may count fewer rows but must not miss an error. */
const MOST_CALLS = 1_000;

/** One per possibility. */
export class DeferredNotes {
  #calls: (() => void)[] | undefined = [];

  /** No call is held. */
  get none(): boolean {
    return !this.#calls?.length;
  }

  /** The same note for an entry of the possibility. */
  of(note: Note): Note {
    const { answer, error, replaces, harmless, showsError, names } = note;
    const deferred: Note = {
      answer,
      error,
      replaces,
      harmless,
      showsError,
      names,
      received: (bytes) => note.received?.(bytes),
      closed: () => this.#call(() => note.closed?.()),
      dropped: () => this.#call(() => note.dropped?.()),
      lost: () => this.#call(() => lose(note)),
    };
    if (!note.answered) return deferred;
    return { ...deferred, answered: (type, bytes, body) => this.#answered(note, type, bytes, body) };
  }

  /** The possibility is true: makes the held calls, and all further ones at once. */
  release(): void {
    const calls = this.#calls ?? [];
    this.#calls = undefined;
    for (const call of calls) call();
  }

  #answered(note: Note, type: number, bytes: number, body: Buffer | undefined): void {
    if (!this.#calls) return note.answered?.(type, bytes, body);
    if (this.#calls.length >= MOST_CALLS && type !== Backend.errorResponse) return;
    // The bytes are part of the buffer that the next socket reads into.
    const kept = body && Buffer.from(body);
    this.#calls.push(() => note.answered?.(type, bytes, kept));
  }

  #call(call: () => void): void {
    if (this.#calls) this.#calls.push(call);
    else call();
  }
}
