/** The ids of what operators hold on their boards: `paused`, `paused orders`, `disabled orders`. */

/** What an entry may be; of all entries only `paused`. */
export type Held = 'paused' | 'disabled';

const SEPARATOR = ' ';

/** `paused orders`; `entry` undefined: all of them. */
export const holdId = (kind: Held, entry: string | undefined): string =>
  entry === undefined ? kind : `${kind}${SEPARATOR}${entry}`;

/** `paused` and `orders` of `paused orders`. The kind of what is not held for entries is undefined. */
export function heldIn(id: string): { readonly kind: Held | undefined; readonly entry: string | undefined } {
  const at = id.indexOf(SEPARATOR);
  const word = at < 0 ? id : id.slice(0, at);
  const kind = word === 'paused' || word === 'disabled' ? word : undefined;
  return { kind, entry: at < 0 ? undefined : id.slice(at + 1) };
}
