/** Carries cancel keys to the worker that has issued them: a client's CancelRequest comes to any, of any instance of the fleet. */
import type { Logger } from '../contract/session.ts';
import { CANCEL, CANCELED_MS, FIND, FOUND_MS, answerCancels, bodyOf } from './cancel-answers.ts';
import { askAt, destinationsOf, ownIssuer } from './cancel-destinations.ts';
import type { Answered, Destination, SharedWithOthers } from './cancel-destinations.ts';
import type { KeyIssuer } from './cancel-key-format.ts';
import { CancelKeys } from './cancel-keys.ts';
import type { CancelKey, OtherWorkers } from './cancel-keys.ts';
import { WrongKeys } from './wrong-keys.ts';

/** Makes the keys of one worker; `log` is the one for what strangers cause. */
export function cancelKeysOver(shared: SharedWithOthers, log: Logger): CancelKeys {
  if (shared.workers === 1 && !shared.fleet) return new CancelKeys();
  const keys = new CancelKeys(new CancelForwarding(shared, log));
  answerCancels(keys, shared.post);
  return keys;
}

/** Of one worker, to the others. */
class CancelForwarding implements OtherWorkers {
  readonly #shared: SharedWithOthers;
  readonly #log: Logger;
  readonly #wrong: WrongKeys;
  /** Of keys that go to every instance: those that say where they belong never pay for them. */
  readonly #wrongToAll: WrongKeys;

  constructor(shared: SharedWithOthers, log: Logger) {
    this.#shared = shared;
    this.#wrong = new WrongKeys(shared.workers);
    this.#wrongToAll = new WrongKeys(shared.workers);
    this.#log = log;
  }

  get own(): KeyIssuer {
    return ownIssuer(this.#shared);
  }

  async present(key: CancelKey, address: string): Promise<void> {
    const destinations = destinationsOf(key, this.#shared);
    if (destinations.length === 0) return this.#refused(address, 'its key is wrong');
    const messages = destinations.reduce((sum, destination) => sum + destination.messages, 0);
    const wrong = destinations.some(({ instance }) => instance === 'others') ? this.#wrongToAll : this.#wrong;
    if (!wrong.begin(address, messages)) return this.#refused(address, 'too many keys');
    const found = await this.#find(destinations, key);
    wrong.over(address, found === undefined, messages);
    if (!found) return this.#refused(address, 'its key is wrong');
    const { instance, worker, body } = found;
    const there = { instance: instance === undefined ? undefined : { id: instance }, worker };
    await askAt(there, this.#shared, CANCEL, body, CANCELED_MS);
  }

  async #find(destinations: readonly Destination[], key: CancelKey): Promise<Answered | undefined> {
    for (const destination of destinations) {
      const answers = await askAt(destination, this.#shared, FIND, bodyOf(key), FOUND_MS);
      const found = answers.find((answer) => answer.body !== undefined);
      if (found) return found;
    }
    return undefined;
  }

  #refused(address: string, why: string): void {
    this.#log.info({ address, why }, 'cancel request refused');
  }
}
