/** Names of environment variables for the secrets of a config that a command writes. */

/** `SHOP_READER` for `shop-reader`: what every shell can set. */
function upper(text: string): string {
  const name = text.toUpperCase().replaceAll(/[^A-Z0-9]+/g, '_');
  return /^\d/.test(name) ? `_${name}` : name;
}

/** One variable for each secret. */
export class Variables {
  readonly #byKey = new Map<string, string>();
  readonly #taken = new Set<string>();

  /**
   * The variable of a password; the same for the same key.
   * @param key tells secrets apart that may differ
   * @param words the name is made of these
   */
  for(key: string, ...words: readonly string[]): string {
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const wanted = upper([...words, 'password'].join('_'));
    let name = wanted;
    for (let number = 2; this.#taken.has(name); number += 1) name = `${wanted}_${number}`;
    this.#taken.add(name);
    this.#byKey.set(key, name);
    return name;
  }

  /** All of them, in the order in which they were asked for. */
  get names(): readonly string[] {
    return [...this.#byKey.values()];
  }
}
