/** Connection strings in [databases] and [users], read as PgBouncer reads them: `host=db port=5432 password='it''s'`. */

/** One pair. */
export type Pair = readonly [key: string, value: string];

/** Goes through a string once. */
class Cursor {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get ended(): boolean {
    return this.#at >= this.#text.length;
  }

  /** A tab is none to PgBouncer. */
  blanks(): void {
    while (this.#text[this.#at] === ' ') this.#at += 1;
  }

  /** Undefined where no `=` is behind it, or nothing in front. */
  key(): string | undefined {
    const start = this.#at;
    while (!this.ended && this.#text[this.#at] !== '=' && this.#text[this.#at] !== ' ') this.#at += 1;
    const key = this.#text.slice(start, this.#at);
    this.blanks();
    const sign = this.#text[this.#at];
    this.#at += 1;
    return sign === '=' && key !== '' ? key : undefined;
  }

  /** Undefined where it is empty or its quote is not closed. */
  value(): string | undefined {
    this.blanks();
    const value = this.#text[this.#at] === "'" ? this.#quoted() : this.#plain();
    // What stands behind a value is skipped, whatever it is.
    this.#at += 1;
    return value === '' ? undefined : value;
  }

  #plain(): string {
    const start = this.#at;
    while (!this.ended && this.#text[this.#at] !== ' ') this.#at += 1;
    return this.#text.slice(start, this.#at);
  }

  #quoted(): string | undefined {
    let value = '';
    for (this.#at += 1; !this.ended; this.#at += 1) {
      if (this.#text[this.#at] === "'") {
        this.#at += 1;
        if (this.#text[this.#at] !== "'") return value;
      }
      value += this.#text[this.#at];
    }
    return undefined;
  }
}

/** The pairs in their order; undefined where PgBouncer finds a syntax error. */
export function parseConnectString(text: string): readonly Pair[] | undefined {
  const cursor = new Cursor(text);
  const pairs: Pair[] = [];
  for (cursor.blanks(); !cursor.ended; cursor.blanks()) {
    const key = cursor.key();
    const value = key === undefined ? undefined : cursor.value();
    if (key === undefined || value === undefined) return undefined;
    pairs.push([key, value]);
  }
  return pairs;
}

/** A number as C's `atoi` reads it: what stands behind the digits does not count, and no digits are 0. */
export function leadingInteger(text: string): number {
  return Number(/^[ \t\n\v\f\r]*([+-]?\d{1,15})/.exec(text)?.[1] ?? 0);
}
