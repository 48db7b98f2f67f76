/** How many wrong cancel keys are carried to other workers and instances: guessing one costs the guesser time, and those nothing. A key that goes to many counts once for each, and no more than a second's worth for its address: a client whose session has just ended is no guesser. */

/** Messages of wrong keys a second, for one address in a worker, and for all in an instance; a second's worth may come at once. */
const PER_ADDRESS = 5;
const IN_ALL = 100;
/** How many keys of one address, and how many messages of all, may be on their way when one more key comes: what is wrong of them is counted afterwards, and paid off at the rates above. */
const UNDER_WAY = { perAddress: 100, inAll: 1_000 };
const SECOND_MS = 1_000;
/** From how many addresses on those that owe nothing are forgotten. */
const MANY = 1_000;

/** What has been carried for one address, or for all. */
interface Account {
  underWay: number;
  /** When all wrong keys so far are paid off, on the clock of the caller. */
  paidAt: number;
}

/**
 * One per worker, with its share of what the instance may carry: to count for all workers in one place would take an answer for each key before it is carried, and what a worker
 * has under way when it dies would have to be found out. Of one address each carries as many as one worker would: a share of five would have a wrong key keep out the right ones of
 * all clients behind a balancer. Its clock counts milliseconds.
 */
export class WrongKeys {
  readonly #inAll: number;
  readonly #now: () => number;
  readonly #all: Account = { underWay: 0, paidAt: 0 };
  readonly #accounts = new Map<string, Account>();

  /** @param workers of the instance */
  constructor(workers: number, now: () => number = () => performance.now()) {
    this.#inAll = IN_ALL / workers;
    this.#now = now;
  }

  /** Whether a key of this address may be carried now, in so many messages. If so, call {@link over} once, with the same number. */
  begin(address: string, messages = 1): boolean {
    const account = this.#accounts.get(address) ?? { underWay: 0, paidAt: 0 };
    const now = this.#now();
    if (!hasRoom(account, PER_ADDRESS, UNDER_WAY.perAddress, now)) return false;
    if (!hasRoom(this.#all, this.#inAll, UNDER_WAY.inAll, now)) return false;
    this.#accounts.set(address, account);
    account.underWay += 1;
    this.#all.underWay += messages;
    return true;
  }

  over(address: string, wrong: boolean, messages = 1): void {
    const account = this.#accounts.get(address);
    if (!account) return;
    const now = this.#now();
    account.underWay -= 1;
    this.#all.underWay -= messages;
    if (wrong) {
      charge(account, PER_ADDRESS, now, Math.min(messages, PER_ADDRESS));
      charge(this.#all, this.#inAll, now, messages);
    } else if (isSettled(account, now)) this.#accounts.delete(address);
    if (this.#accounts.size > MANY) this.#forgetSettled(now);
  }

  #forgetSettled(now: number): void {
    for (const [address, account] of this.#accounts)
      if (isSettled(account, now)) this.#accounts.delete(address);
  }
}

function hasRoom({ underWay, paidAt }: Account, perSecond: number, most: number, now: number): boolean {
  return underWay < most && paidAt - now <= SECOND_MS - SECOND_MS / perSecond;
}

function charge(account: Account, perSecond: number, now: number, messages: number): void {
  account.paidAt = Math.max(account.paidAt, now) + (messages * SECOND_MS) / perSecond;
}

function isSettled({ underWay, paidAt }: Account, now: number): boolean {
  return underWay === 0 && paidAt <= now;
}
