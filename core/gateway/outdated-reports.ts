/** What PostgreSQL reports at logins: each worker learns it for itself, and as soon as one knows that it is outdated, all forget it. */
import type { Post } from '../contract/post.ts';
import type { Outdated } from '../upstream/reported-parameters.ts';

/** As it is posted: of the pool of this key. */
interface Told {
  readonly pool: string;
  readonly what: Outdated;
}

/** Tells other workers. */
const OUTDATED = ':outdated reports';

/** One per worker. */
export class OutdatedReports {
  readonly #post: Post;

  constructor(post: Post) {
    this.#post = post;
  }

  /** Calls `drop` with what other workers tell, and the key of their pool. */
  hear(drop: (pool: string, what: Outdated) => void): void {
    this.#post.answer(OUTDATED, (told) => {
      const { pool, what } = told as Told;
      drop(pool, what);
    });
  }

  /** Tells those that have a pool of this key. One that does not hear it finds out by itself, at the latest when its reports expire. */
  of(pool: string): (what: Outdated) => void {
    return (what) => void this.#post.ask('others', OUTDATED, { pool, what } satisfies Told);
  }
}
