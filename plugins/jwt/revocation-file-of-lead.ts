/** Revocations in a file that all workers of a gateway read, and one of them writes: the lead. */
import type { Post } from '../../core/index.ts';
import { reviveRevocation } from './revocation.ts';
import type { Revocation } from './revocation.ts';
import type { RevocationFile } from './revocation-file.ts';
import type { RevocationStore } from './revocation-store.ts';

/** How long the lead may take, in milliseconds. */
const LEAD_MS = 8_000;
const QUESTION = 'keep a revocation';

type Change = { readonly added: Revocation } | { readonly removed: string };

/** One per worker. */
export class RevocationFileOfLead implements RevocationStore {
  readonly #file: RevocationFile;
  readonly #post: Post;
  #leads = false;
  /** The file is as this worker has it, and no other writes it any more. */
  #taken: Promise<unknown> | undefined;

  constructor(file: RevocationFile, post: Post) {
    this.#file = file;
    this.#post = post;
  }

  /** Writes for other workers, where this one is the lead, until the function that it returns is called. */
  open(): () => void {
    return this.#post.answer(QUESTION, async (change) => {
      await this.#write(change as Change);
      return true;
    });
  }

  load(): Promise<readonly Revocation[]> {
    return this.#leads ? this.#file.load() : this.#file.look();
  }

  /** This worker is the lead. What the one before it has written is read again. @throws Error */
  async lead(): Promise<void> {
    this.#leads = true;
    await this.#take();
  }

  add(revocation: Revocation): Promise<void> {
    return this.#change({ added: revocation });
  }

  remove(id: string): Promise<void> {
    return this.#change({ removed: id });
  }

  async #change(change: Change): Promise<void> {
    if (this.#leads) return this.#write(change);
    const [answer] = await this.#post.ask('lead', QUESTION, change, { withinMs: LEAD_MS });
    if (answer?.body !== true) throw new Error(answer?.error ?? 'no worker writes the file yet');
  }

  async #write(change: Change): Promise<void> {
    if (!this.#leads) throw new Error('another worker writes the file');
    await this.#take();
    await ('added' in change
      ? this.#file.add(reviveRevocation(change.added))
      : this.#file.remove(change.removed));
  }

  /** What failed is tried again with the next change. */
  async #take(): Promise<void> {
    this.#taken ??= this.#file.load();
    await this.#taken.catch((error: unknown) => {
      this.#taken = undefined;
      throw error;
    });
  }
}
