/** Those that live, as one instance knows them: the store tells all of them only when it is worth it. */
import type { Beat } from '../store.ts';

/**
 * With more instances than this, what each says of itself is told with every second beat, with more than twice as many with every third: it grows with
 * the square of their number. Who comes and goes is always told.
 */
const FOR_EACH_BEAT = 50;

/** One per instance. */
export class LiveInstances {
  /** This instance's. */
  number: number | undefined;
  #version = '';
  #live: Beat['live'] = [];
  #beats = 0;

  /** The version that is known, and 1 to hear all in any case. */
  asked(): [version: string, anyway: 0 | 1] {
    this.#beats += 1;
    const each = Math.ceil(this.#live.length / FOR_EACH_BEAT);
    return [this.#version, each <= 1 || this.#beats % each === 0 ? 1 : 0];
  }

  /** Lists of instance and value, one after the other; no texts: as before. */
  told(version: string, texts: readonly string[], numbers: readonly string[]): void {
    this.#version = version;
    if (texts.length === 0) return;
    const byId = new Map(pairs(numbers));
    this.#live = [...pairs(texts)].map(([id, text]) => ({ id, text, number: numberOf(byId.get(id)) }));
  }

  /** All of them, with what this one says of itself now. */
  with(own: Beat['live'][number]): Beat['live'] {
    return this.#live.map((instance) => (instance.id === own.id ? own : instance));
  }
}

const numberOf = (text: string | undefined): number | undefined =>
  text === undefined ? undefined : Number(text);

function* pairs(list: readonly string[]): Generator<[string, string]> {
  for (let i = 0; i + 1 < list.length; i += 2) yield [list[i] ?? '', list[i + 1] ?? ''];
}
