/** Carries cancel keys to the worker that has issued them: a client's CancelRequest comes to any. */
import type { Logger } from '../contract/session.ts';
import type { Post, PostAnswer } from '../contract/post.ts';
import { workerOf } from './cancel-key-format.ts';
import { CancelKeys } from './cancel-keys.ts';
import type { CancelKey, OtherWorkers } from './cancel-keys.ts';
import { WrongKeys } from './wrong-keys.ts';

/** What it needs of what workers share. */
interface Workers {
  /** The number of this one. */
  readonly worker: number;
  readonly workers: number;
  readonly post: Post;
}

/** Asks a worker to cancel by a key. Its answer is the number of the cancel that it has begun; none: it does not know the key. */
const CANCEL = ':cancel';
/** Waits for the end of a cancel. */
const CANCELED = ':canceled';
/** How long a worker may take to say whether it knows a key, in milliseconds. */
const FOUND_MS = 2_000;
/** Longer than a cancel takes at most, in milliseconds: until then it might hit the client's next statement. */
const CANCELED_MS = 11_000;

/** Makes the keys of one worker; `log` is the one for what strangers cause. */
export function cancelKeysOver(workers: Workers, log: Logger): CancelKeys {
  if (workers.workers === 1) return new CancelKeys();
  const keys = new CancelKeys(new CancelForwarding(workers, log));
  answerFor(keys, workers.post);
  return keys;
}

/** Cancels here what other workers ask for. The client's connection is closed at the end of the cancel, so its beginning and its end are two answers: only the first may be late. */
function answerFor(keys: CancelKeys, post: Post): void {
  const running = new Map<number, Promise<void>>();
  let last = 0;
  post.answer(CANCEL, (body) => {
    const key = keyIn(body);
    const over = key && keys.cancel(key.processId, key.secret);
    if (!over) return undefined;
    const number = (last += 1);
    const ended = (): void => void running.delete(number);
    running.set(number, over.then(ended, ended));
    return number;
  });
  post.answer(CANCELED, async (number) => {
    if (typeof number === 'number') await running.get(number);
  });
}

/** Of one worker, to the others. */
class CancelForwarding implements OtherWorkers {
  readonly worker: number;
  readonly #post: Post;
  readonly #log: Logger;
  readonly #wrong = new WrongKeys();

  constructor({ worker, post }: Workers, log: Logger) {
    this.worker = worker;
    this.#post = post;
    this.#log = log;
  }

  async present(key: CancelKey, address: string): Promise<void> {
    const to = workerOf(key.processId, key.secret);
    if (to === undefined || to === this.worker) return this.#refused(address, 'its key is wrong');
    if (!this.#wrong.begin(address)) return this.#refused(address, 'too many keys');
    const found = await this.#find(to, key);
    this.#wrong.over(address, found === undefined);
    if (!found) return this.#refused(address, 'its key is wrong');
    await this.#post.ask(found.worker, CANCELED, found.body, { withinMs: CANCELED_MS });
  }

  async #find(to: number | 'others', { processId, secret }: CancelKey): Promise<PostAnswer | undefined> {
    const body = [processId, secret.toString('hex')];
    const answers = await this.#post.ask(to, CANCEL, body, { withinMs: FOUND_MS });
    return answers.find((answer) => answer.body !== undefined);
  }

  #refused(address: string, why: string): void {
    this.#log.info({ address, why }, 'cancel request refused');
  }
}

function keyIn(body: unknown): CancelKey | undefined {
  if (!Array.isArray(body)) return undefined;
  const [processId, secret] = body as readonly unknown[];
  if (typeof processId !== 'number' || typeof secret !== 'string') return undefined;
  return { processId, secret: Buffer.from(secret, 'hex') };
}
