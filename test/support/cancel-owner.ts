/** Owners of cancel keys that count what has hit them. */
import type { Cancelable } from '../../core/connection/cancel-keys.ts';

/** @throws Error where there is none */
export function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new Error(`there is no ${index}`);
  return found;
}

/** Counts the cancels; each resolves with `over`. */
export class Owner implements Cancelable {
  hits = 0;
  readonly over: Promise<void>;
  constructor(over = Promise.resolve()) {
    this.over = over;
  }
  cancel(): Promise<void> {
    this.hits += 1;
    return this.over;
  }
}
