/** JSON that is put together as bytes: what is known before is copied, and numbers and ids never become strings. */

/** In UTF-8, for each UTF-16 code unit at most. */
const UNIT_BYTES = 3;
const ZERO = 0x30;
const HEX = Uint8Array.from(Buffer.from('0123456789abcdef'));

/** Milliseconds since the epoch have thirteen digits from 2001 to 2286, and as nanoseconds nineteen. */
const [EARLIEST, LATEST] = [1e12, 1e13];
const NANOSECOND_DIGITS = 19;
/** All numbers below are digits that a 32-bit integer holds: these are divided fast. */
const LOW_MS = 1e7;
const MOST_DIGITS = 10;
const LARGEST = 2 ** 31;
const ID_DIGITS = 16;

/** Milliseconds since the epoch as nanoseconds, which are more than a JavaScript number holds. */
export function nanoseconds(ms: number): string {
  const whole = Math.floor(ms);
  // Seven digits, of which the first is none of it.
  return whole + String(1_000_000 + nanosecondsIn(ms, whole)).slice(1);
}

const nanosecondsIn = (ms: number, whole: number): number =>
  Math.min(999_999, Math.round((ms - whole) * 1_000_000));

/** A buffer that grows. */
export class JsonBytes {
  #bytes: Buffer;
  #length = 0;

  /** `bytes` that it has room for at first. */
  constructor(bytes: number) {
    this.#bytes = Buffer.allocUnsafeSlow(bytes);
  }

  /** Of what was put, in bytes. */
  get length(): number {
    return this.#length;
  }

  /** Bytes that it has room for. */
  get capacity(): number {
    return this.#bytes.length;
  }

  /** A view of what was put; it changes with what is put after {@link clear}. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Takes back what was put behind the first `length` bytes. */
  clear(length = 0): void {
    this.#length = length;
  }

  text(text: string): void {
    this.#need(text.length * UNIT_BYTES);
    this.#length += this.#bytes.write(text, this.#length, 'utf8');
  }

  part(bytes: Uint8Array): void {
    this.#need(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A whole number that is not negative. */
  integer(value: number): void {
    if (value >= LARGEST) return this.text(String(value));
    let digits = 1;
    for (let rest = (value / 10) | 0; rest > 0; rest = (rest / 10) | 0) digits += 1;
    this.#need(MOST_DIGITS);
    this.#digits(value, digits);
  }

  /** The digits of {@link nanoseconds}. */
  nanoseconds(ms: number): void {
    const whole = Math.floor(ms);
    if (whole < EARLIEST || whole >= LATEST) return this.text(nanoseconds(ms));
    this.#need(NANOSECOND_DIGITS);
    const high = Math.floor(whole / LOW_MS);
    this.#digits(high, 6);
    this.#digits(whole - high * LOW_MS, 7);
    this.#digits(nanosecondsIn(ms, whole), 6);
  }

  /** The digits of a new span id: as random as those of the SDK, and not zero (W3C Trace Context, "parent-id"). */
  spanId(): void {
    this.#need(ID_DIGITS);
    this.#hex(Math.floor(Math.random() * 2 ** 32));
    this.#hex(1 + Math.floor(Math.random() * (2 ** 32 - 1)));
  }

  #digits(value: number, count: number): void {
    const bytes = this.#bytes;
    let rest = value;
    for (let at = this.#length + count - 1; at >= this.#length; at -= 1) {
      const tens = (rest / 10) | 0;
      bytes[at] = ZERO + rest - tens * 10;
      rest = tens;
    }
    this.#length += count;
  }

  /** Eight digits. */
  #hex(word: number): void {
    const [bytes, at] = [this.#bytes, this.#length];
    for (let i = 0; i < 8; i += 1) bytes[at + i] = HEX[(word >>> (28 - 4 * i)) & 15] ?? ZERO;
    this.#length = at + 8;
  }

  #need(bytes: number): void {
    if (this.#length + bytes <= this.#bytes.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#length + bytes, 2 * this.#bytes.length));
    this.#bytes.copy(larger, 0, 0, this.#length);
    this.#bytes = larger;
  }
}
