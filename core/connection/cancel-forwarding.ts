/** Carries cancel keys to the worker that has issued them: a client's CancelRequest comes to any, of any instance of the fleet. */
import type { Logger } from '../contract/session.ts';
import type { Post } from '../contract/post.ts';
import { askAt, destinationsOf, ownIssuer } from './cancel-destinations.ts';
import type { Answered, Destination, SharedWithOthers } from './cancel-destinations.ts';
import type { KeyIssuer } from './cancel-key-format.ts';
import { CancelKeys } from './cancel-keys.ts';
import type { CancelKey, OtherWorkers } from './cancel-keys.ts';
import { WrongKeys } from './wrong-keys.ts';

/** Asks a worker to cancel by a key. Its answer is the number of the cancel that it has begun; none: it does not know the key. */
const CANCEL = ':cancel';
/** Waits for the end of a cancel. */
const CANCELED = ':canceled';
/** How long a worker may take to say whether it knows a key, in milliseconds. */
const FOUND_MS = 2_000;
/** Longer than a cancel takes at most, in milliseconds: until then it might hit the client's next statement. */
const CANCELED_MS = 11_000;

/** Makes the keys of one worker; `log` is the one for what strangers cause. */
export function cancelKeysOver(shared: SharedWithOthers, log: Logger): CancelKeys {
  if (shared.workers === 1 && !shared.fleet) return new CancelKeys();
  const keys = new CancelKeys(new CancelForwarding(shared, log));
  answerFor(keys, shared.post);
  return keys;
}

/** Cancels here what other workers ask for. The client's connection is closed at the end of the cancel, so its beginning and its end are two answers: only the first may be late. */
function answerFor(keys: CancelKeys, post: Post): void {
  const running = new Map<number, Promise<void>>();
  let last = 0;
  post.answer(CANCEL, (body) => {
    const key = keyIn(body);
    // Of this worker alone: a key is never forwarded twice.
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
  readonly #shared: SharedWithOthers;
  readonly #log: Logger;
  readonly #wrong = new WrongKeys();

  constructor(shared: SharedWithOthers, log: Logger) {
    this.#shared = shared;
    this.#log = log;
  }

  get own(): KeyIssuer {
    return ownIssuer(this.#shared);
  }

  async present(key: CancelKey, address: string): Promise<void> {
    const destinations = destinationsOf(key, this.#shared);
    if (destinations.length === 0) return this.#refused(address, 'its key is wrong');
    const messages = destinations.reduce((sum, destination) => sum + destination.messages, 0);
    if (!this.#wrong.begin(address, messages)) return this.#refused(address, 'too many keys');
    const found = await this.#find(destinations, key);
    this.#wrong.over(address, found === undefined, messages);
    if (!found) return this.#refused(address, 'its key is wrong');
    const { instance, worker, body } = found;
    const there = { instance: instance === undefined ? undefined : { id: instance }, worker };
    await askAt(there, this.#shared, CANCELED, body, CANCELED_MS);
  }

  async #find(
    destinations: readonly Destination[],
    { processId, secret }: CancelKey,
  ): Promise<Answered | undefined> {
    const body = [processId, secret.toString('hex')];
    for (const destination of destinations) {
      const answers = await askAt(destination, this.#shared, CANCEL, body, FOUND_MS);
      const found = answers.find((answer) => answer.body !== undefined);
      if (found) return found;
    }
    return undefined;
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
