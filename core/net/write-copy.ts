/** Copies of bytes that are written at once: the system takes nearly all writes whole, so the next copy may be where this one was. */

/** Longest copy, in bytes. */
export const COPY_BYTES = 16_384;
/** Lengths of which the view is kept. */
const SHORT_BYTES = 1_024;

let copies = Buffer.allocUnsafeSlow(COPY_BYTES);
/** Its beginnings by length. */
let beginnings: (Buffer | undefined)[] = [];

/** A copy of a part of at most {@link COPY_BYTES} bytes, valid until the next one is made. */
export function copyOf(bytes: Buffer, from: number, to: number): Buffer {
  const length = to - from;
  if (from === 0 && to === bytes.length) copies.set(bytes);
  else bytes.copy(copies, 0, from, to);
  return length > SHORT_BYTES
    ? copies.subarray(0, length)
    : (beginnings[length] ??= copies.subarray(0, length));
}

/** A write holds on to these bytes: if they are such a copy, the next ones are made elsewhere. */
export function keep(bytes: Buffer): void {
  if (bytes.buffer !== copies.buffer) return;
  copies = Buffer.allocUnsafeSlow(COPY_BYTES);
  beginnings = [];
}
