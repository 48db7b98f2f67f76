/** What operators have ordered the whole fleet to hold: the board of all instances. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Board } from '../contract/board.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Actor } from '../contract/events.ts';
import type { FleetOrder } from '../contract/operations.ts';
import { holdId } from './holds.ts';
import type { Held } from './holds.ts';

/** One on the board. The id says which order it is: one that was taken back, and given anew, is another. */
interface Order extends FleetOrder {
  readonly id: string;
}

/** An order that is to be given. */
interface NewOrder {
  readonly by: Actor;
  readonly until?: number | undefined;
}

/** Two operators may order the same at once: how often the later one looks at what the first has ordered, and after how many milliseconds. */
const [TRIES, LOOK_MS] = [50, 20];

/** One per worker. */
export class FleetOrders {
  readonly #board: Board<Order>;

  constructor(board: Board) {
    this.#board = board as Board<Order>;
  }

  /** The order that holds an entry, or all of them. */
  of(kind: Held, entry: string | undefined): Order | undefined {
    return this.#board.get(holdId(kind, entry));
  }

  /** Orders that concern an entry: those to all of them as well. */
  about(entry: string): { readonly paused?: FleetOrder; readonly disabled?: FleetOrder } | undefined {
    const paused = this.of('paused', entry) ?? this.of('paused', undefined);
    const disabled = this.of('disabled', entry);
    if (!paused && !disabled) return undefined;
    return { ...(paused && { paused: shown(paused) }), ...(disabled && { disabled: shown(disabled) }) };
  }

  /**
   * Gives an order, and gives its id. One that holds already gets the new time, and stays the same order: those who wait for it wait on.
   * @throws GatewayError `connection_failure` where the store of the fleet does not answer
   */
  async give(kind: Held, entry: string | undefined, { by, until }: NewOrder): Promise<string> {
    const name = holdId(kind, entry);
    for (let tries = 0; tries < TRIES; tries += 1) {
      const expected = this.#board.get(name);
      const { id, since } = expected ?? { id: randomUUID(), since: Date.now() };
      const ends = until === undefined ? {} : { until };
      const put = this.#board.put(name, { id, by, since, ...ends }, { ...ends, expected });
      if (await put.catch(unreachable)) return id;
      await sleep(LOOK_MS);
    }
    throw new GatewayError('object_not_in_prerequisite_state', 'other operators give the same order now');
  }

  /** Resolves when this instance and the store have it, or the store has not answered in time. */
  async takeBack(kind: Held, entry: string | undefined): Promise<void> {
    await this.#board.drop(holdId(kind, entry));
  }
}

const shown = ({ by, since, until }: Order): FleetOrder => ({
  by,
  since,
  ...(until !== undefined && { until }),
});

function unreachable(cause: unknown): never {
  throw new GatewayError(
    'connection_failure',
    'the store of the fleet does not answer: nothing was ordered',
    {
      cause,
      hint: 'Without FLEET an order holds in one instance, and needs no store.',
    },
  );
}
