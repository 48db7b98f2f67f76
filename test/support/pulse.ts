/** Sessions that ask something small again and again: how long it takes shows whether anything disturbs them. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';

const PAUSE_MS = 10;

/** Of a few clients, until it is stopped. */
export class Pulse {
  readonly #clients: readonly Client[];
  readonly #beats: Promise<void>[];
  #stopped = false;
  #times: number[] = [];

  private constructor(clients: readonly Client[]) {
    this.#clients = clients;
    this.#beats = clients.map((client) => this.#beat(client));
  }

  /** Begins. */
  static of(...clients: readonly Client[]): Pulse {
    return new Pulse(clients);
  }

  /** The median of the next `count` answers, in milliseconds. */
  async median(count: number): Promise<number> {
    const times: number[] = [];
    this.#times = times;
    while (times.length < count) {
      await Promise.race([sleep(PAUSE_MS), Promise.all(this.#beats)]);
      if (this.#stopped) throw new Error('the pulse has stopped');
    }
    return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
  }

  /** Ends the sessions. @throws what one of their statements met */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#beats);
    await Promise.all(this.#clients.map((client) => client.end()));
  }

  async #beat(client: Client): Promise<void> {
    while (!this.#stopped) {
      const from = performance.now();
      await client.query('select 1');
      this.#times.push(performance.now() - from);
      await sleep(PAUSE_MS);
    }
  }
}
