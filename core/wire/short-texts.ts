/** Values made of short texts in messages, such as names and command tags: the same few come again and again. */

/** Longer texts are not remembered, in bytes. */
const LONGEST = 64;
/** Places for values; a text that falls on the place of another one takes it. */
const PLACES = 256;

interface Known<T> {
  readonly bytes: Buffer;
  readonly value: T;
}

/** Finds a value by the bytes of its text, without decoding them. One per kind of text, for the whole process. */
export class ShortTexts<T> {
  readonly #make: (bytes: Buffer) => T;
  readonly #known = Array.from<Known<T> | undefined>({ length: PLACES });

  /** `make` gets a view of a message: it must keep none. Its errors are those of {@link of}. */
  constructor(make: (bytes: Buffer) => T) {
    this.#make = make;
  }

  /** The value of the text in `data` from `from` to `to`. */
  of(data: Buffer, from: number, to: number): T {
    const length = to - from;
    if (length > LONGEST) return this.#make(data.subarray(from, to));
    let place = length;
    for (let i = from; i < to; i += 1) place = (place * 31 + (data[i] ?? 0)) | 0;
    place &= PLACES - 1;
    const known = this.#known[place];
    if (known?.bytes.length === length && isAt(data, from, known.bytes)) return known.value;
    const bytes = Buffer.from(data.subarray(from, to));
    const value = this.#make(bytes);
    this.#known[place] = { bytes, value };
    return value;
  }
}

function isAt(data: Buffer, from: number, bytes: Buffer): boolean {
  for (let i = 0; i < bytes.length; i += 1) if (data[from + i] !== bytes[i]) return false;
  return true;
}
