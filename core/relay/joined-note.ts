/** Two notes of one message in one: that of the relay, and that of observers. */
import { lose } from './entries.ts';
import type { Note } from './entries.ts';

/** Both notes in one; `one` is called first, so that the latest change is undone first, and its facts count before the other's. */
export function joined(one: Note, other: Note | undefined): Note;
export function joined(one: Note | undefined, other: Note | undefined): Note | undefined;
export function joined(one: Note | undefined, other: Note | undefined): Note | undefined {
  return one && other ? new Joined(one, other) : (one ?? other);
}

class Joined implements Note {
  readonly answer: Note['answer'];
  readonly error: Note['error'];
  readonly replaces: Note['replaces'];
  readonly harmless: Note['harmless'];
  readonly showsError: Note['showsError'];
  readonly names: Note['names'];
  readonly #one: Note;
  readonly #other: Note;

  constructor(one: Note, other: Note) {
    this.answer = one.answer ?? other.answer;
    this.error = one.error ?? other.error;
    this.replaces = one.replaces ?? other.replaces;
    this.harmless = one.harmless ?? other.harmless;
    this.showsError = one.showsError ?? other.showsError;
    this.names = one.names ?? other.names;
    this.#one = one;
    this.#other = other;
  }

  closed(): void {
    this.#one.closed?.();
    this.#other.closed?.();
  }
  dropped(): void {
    this.#one.dropped?.();
    this.#other.dropped?.();
  }
  lost(): void {
    lose(this.#one);
    lose(this.#other);
  }
  answered(type: number, bytes: number, body: Buffer | undefined): void {
    this.#one.answered?.(type, bytes, body);
    this.#other.answered?.(type, bytes, body);
  }
  received(bytes: number): void {
    this.#one.received?.(bytes);
    this.#other.received?.(bytes);
  }
}
