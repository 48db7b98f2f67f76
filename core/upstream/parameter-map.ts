/** Run-time parameters as a server reports them by ParameterStatus (manual, 55.2.7), equal ones known as equal at a look. */

/** Values by name. */
export interface Parameters extends Map<string, string> {
  /** Equal for equal parameters, and for no others. Absent: they have to be compared one by one. */
  readonly content?: number;
}

/** Contents that have a number; one that is forgotten only costs a comparison of values. */
const MOST_KNOWN = 1_000;
const known = new Map<string, number>();
let given = 0;

/** Nearly all sessions and connections of a pool have the same. */
export class ParameterMap extends Map<string, string> implements Parameters {
  #content: number | undefined;

  /** A copy. Default: none. */
  constructor(parameters: Iterable<readonly [name: string, value: string]> = []) {
    super();
    for (const [name, value] of parameters) this.set(name, value);
  }

  get content(): number {
    return (this.#content ??= numberOf(this));
  }

  override set(name: string, value: string): this {
    if (this.get(name) !== value) this.#content = undefined;
    return super.set(name, value);
  }

  override delete(name: string): boolean {
    this.#content = undefined;
    return super.delete(name);
  }

  override clear(): void {
    this.#content = undefined;
    super.clear();
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
  return some.content !== undefined && some.content === others.content;
}

function numberOf(parameters: ReadonlyMap<string, string>): number {
  const text = JSON.stringify([...parameters].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const number = known.get(text) ?? (given += 1);
  known.delete(text);
  known.set(text, number);
  const [oldest] = known.keys();
  if (known.size > MOST_KNOWN && oldest !== undefined) known.delete(oldest);
  return number;
}
