/** Those that live, as one instance knows them: the store tells what has changed since it told last. */
import type { Beat } from '../store.ts';

type Live = Beat['live'][number];

/** What the store has told with a beat. */
interface Told {
  readonly epoch: string;
  /** Up to which change of those that live. */
  readonly change: number;
  /** All of them follow, and not only what has changed. */
  readonly isAll: boolean;
  /** Instance, text, and number or an empty text, one after the other. */
  readonly texts: readonly string[];
  /** Those that live no more. */
  readonly gone: readonly string[];
}

/** One per instance. */
export class LiveInstances {
  /** This instance's. */
  number: number | undefined;
  #known: readonly [epoch: string, change: number] = ['', 0];
  readonly #byId = new Map<string, Live>();
  #all: readonly Live[] = [];

  /** Up to where they are known. */
  get known(): readonly [epoch: string, change: number] {
    return this.#known;
  }

  /** The same list as before where nothing has changed. */
  get all(): readonly Live[] {
    return this.#all;
  }

  /** The store may be one that has lost changes: it is to tell all. */
  forget(): void {
    this.#known = ['', 0];
  }

  hear({ epoch, change, isAll, texts, gone }: Told): void {
    this.#known = [epoch, change];
    if (isAll) this.#byId.clear();
    else if (texts.length + gone.length === 0) return;
    for (const id of gone) this.#byId.delete(id);
    for (const live of readIn(texts)) this.#byId.set(live.id, live);
    this.#all = [...this.#byId.values()];
  }
}

function* readIn(texts: readonly string[]): Generator<Live> {
  for (let i = 0; i < texts.length; i += 3) {
    const [id = '', text = '', number = ''] = texts.slice(i, i + 3);
    yield { id, text, number: number === '' ? undefined : Number(number) };
  }
}
