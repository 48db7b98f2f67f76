/** Values by key, each for as long as something else refers to it. */
import { hash } from 'node:crypto';

/** Only a digest of each key is kept: a key may have secrets in it. */
export class WeakValues<T extends object> {
  readonly #byKey = new Map<string, WeakRef<T>>();
  readonly #gone = new FinalizationRegistry<string>((key) => {
    // Another value may have its place by now.
    if (this.#byKey.get(key)?.deref() === undefined) this.#byKey.delete(key);
  });

  /** The value with this key; `make` makes it where there is none. */
  of(text: string, make: () => T): T {
    const key = hash('sha256', text, 'base64');
    const known = this.#byKey.get(key)?.deref();
    if (known) return known;
    const made = make();
    this.#byKey.set(key, new WeakRef(made));
    this.#gone.register(made, key);
    return made;
  }
}
