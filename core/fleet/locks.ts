/** What only one instance does. */
import type { MemberParts } from './parts.ts';

/** So long another one waits after its death, in milliseconds. */
const LIVES_MS = 10_000;

interface Task {
  readonly name: string;
  readonly run: () => void;
  /** It runs here. */
  runs: boolean;
}

/** One per member. */
export class Locks {
  readonly #parts: Pick<MemberParts, 'id' | 'store'>;
  readonly #tasks = new Set<Task>();

  constructor(parts: Pick<MemberParts, 'id' | 'store'>) {
    this.#parts = parts;
  }

  /** As `FleetMember.alone`. */
  add(name: string, run: () => void): () => void {
    const task: Task = { name, run, runs: false };
    this.#tasks.add(task);
    void this.#take(task);
    return () => {
      if (this.#tasks.delete(task)) void this.#giveBack(task);
    };
  }

  /** The store answers: locks are kept, or taken where they are free. */
  async renew(): Promise<void> {
    await Promise.all([...this.#tasks].map((task) => this.#take(task)));
  }

  async close(): Promise<void> {
    const tasks = [...this.#tasks];
    this.#tasks.clear();
    await Promise.all(tasks.map((task) => this.#giveBack(task)));
  }

  async #take(task: Task): Promise<void> {
    const { id, store } = this.#parts;
    const has = await store.lock(task.name, id, LIVES_MS).catch(() => false);
    if (!has || task.runs) return;
    if (!this.#tasks.has(task)) return this.#giveBack(task);
    task.runs = true;
    task.run();
  }

  /** A config that is reloaded does the same tasks as the one before it: the lock is of both. */
  async #giveBack({ name }: Task): Promise<void> {
    const { id, store } = this.#parts;
    if ([...this.#tasks].some((task) => task.name === name)) return;
    await store.unlock(name, id).catch(() => undefined);
  }
}
