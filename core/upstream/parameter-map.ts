/** Run-time parameters as a server reports them by ParameterStatus (manual, 55.2.7), equal ones known as equal at a look. */
import { hash } from 'node:crypto';
import type { SessionDefaults } from './session-defaults.ts';

/** Values by name. */
export interface Parameters extends Map<string, string> {
  /** Equal for equal parameters, and for no others. Absent: they have to be compared one by one. */
  readonly content?: number;
  /** Those of the login. Absent: not known. */
  defaults?: SessionDefaults | undefined;
}

/** Contents that have a number, as digests: clients choose the values. One that is forgotten only costs a comparison of values. */
const MOST_KNOWN = 1_000;
const known = new Map<string, number>();
let given = 0;

/**
 * Nearly all sessions and connections of a pool have the same: a copy shares the values until one of both changes. A Map of its
 * own would cost each session 500 bytes.
 */
export class ParameterMap implements Parameters {
  readonly [Symbol.toStringTag] = 'ParameterMap';
  defaults: SessionDefaults | undefined;
  #values: Map<string, string>;
  /** Others have the same values: they are copied before they change. */
  #shared: boolean;
  #content: number | undefined;

  /** A copy. Default: none. */
  constructor(parameters?: Iterable<readonly [name: string, value: string]>) {
    this.#shared = parameters instanceof ParameterMap;
    if (parameters instanceof ParameterMap) {
      parameters.#shared = true;
      this.#values = parameters.#values;
      this.#content = parameters.#content;
      this.defaults = parameters.defaults;
    } else this.#values = new Map(parameters);
  }

  get content(): number {
    return (this.#content ??= numberOf(this));
  }

  get size(): number {
    return this.#values.size;
  }

  get(name: string): string | undefined {
    return this.#values.get(name);
  }

  has(name: string): boolean {
    return this.#values.has(name);
  }

  set(name: string, value: string): this {
    if (this.#values.get(name) !== value) this.#own().set(name, value);
    return this;
  }

  delete(name: string): boolean {
    return this.#values.has(name) && this.#own().delete(name);
  }

  clear(): void {
    this.#own().clear();
  }

  keys(): MapIterator<string> {
    return this.#values.keys();
  }

  values(): MapIterator<string> {
    return this.#values.values();
  }

  entries(): MapIterator<[string, string]> {
    return this.#values.entries();
  }

  [Symbol.iterator](): MapIterator<[string, string]> {
    return this.#values.entries();
  }

  forEach(call: (value: string, name: string, map: Map<string, string>) => void, self?: unknown): void {
    for (const [name, value] of this.#values) call.call(self, value, name, this);
  }

  /** The values, to change them. */
  #own(): Map<string, string> {
    if (this.#shared) this.#values = new Map(this.#values);
    this.#shared = false;
    this.#content = undefined;
    return this.#values;
  }
}

/** The value of a parameter, whose name may be in any case (manual, 20.1.1). */
export function valueOf(parameters: ReadonlyMap<string, string>, name: string): string | undefined {
  const exact = parameters.get(name);
  if (exact !== undefined) return exact;
  const key = name.toLowerCase();
  for (const [one, value] of parameters) if (one.toLowerCase() === key) return value;
  return undefined;
}

/** True only for equal ones; false where that is not known at a look. */
export function areEqual(some: Parameters, others: Parameters): boolean {
  return some.content !== undefined && some.content === others.content && some.defaults === others.defaults;
}

function numberOf(parameters: ReadonlyMap<string, string>): number {
  const text = JSON.stringify([...parameters].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const key = hash('sha256', text, 'base64');
  const number = known.get(key) ?? (given += 1);
  known.delete(key);
  known.set(key, number);
  const [oldest] = known.keys();
  if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  return number;
}
