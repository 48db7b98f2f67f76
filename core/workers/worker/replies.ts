/** Questions to the parent process that wait for their replies. */

interface Waiting<T> {
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

/** Of one kind of question. */
export class Replies<T> {
  readonly #waiting = new Map<number, Waiting<T>>();
  #last = 0;
  #over: Error | undefined;

  /** The number of the next question, and the promise of its reply: it rejects where {@link rejectAll} has been called. */
  next(): { readonly q: number; readonly reply: Promise<T> } {
    const q = (this.#last += 1);
    const reply = new Promise<T>((resolve, reject) => {
      if (this.#over) reject(this.#over);
      else this.#waiting.set(q, { resolve, reject });
    });
    // Not everybody waits for each of them.
    reply.catch(() => {});
    return { q, reply };
  }

  reply(q: number, value: T): void {
    this.#waiting.get(q)?.resolve(value);
    this.#waiting.delete(q);
  }

  reject(q: number, error: Error): void {
    this.#waiting.get(q)?.reject(error);
    this.#waiting.delete(q);
  }

  /** Those to come as well. */
  rejectAll(error: Error): void {
    this.#over = error;
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }
}
