/** Tells the store each second that this instance lives, and hears who else does. */
import type { FleetInstance } from '../contract/fleet.ts';
import type { MemberParts } from './parts.ts';
import type { Beat } from './store.ts';

const BEAT_MS = 1_000;
/** While the store is away it is tried so often. */
const RETRY_MS = 250;
/**
 * With more instances than this, what changes all the time of an instance is told with every second beat, with more than twice as many with every third: all read it of
 * all, which grows with the square of their number.
 */
const FOR_EACH_BEAT = 50;

/** What was known when the store was asked. */
export interface Asked {
  /** When that was, by the timers. */
  readonly asOf: number;
  readonly positions: Readonly<Record<string, number>>;
}

interface HeartbeatParts extends MemberParts {
  readonly livesMs: number;
  readonly own: () => FleetInstance;
  /** How many live, as far as known. */
  readonly live: () => number;
  readonly boards: () => readonly string[];
  /** Up to where boards were read. */
  readonly positions: () => Readonly<Record<string, number>>;
  readonly heard: (beat: Beat, asked: Asked) => void;
  readonly failed: () => void;
}

/** One per member. */
export class Heartbeat {
  readonly #parts: HeartbeatParts;
  #underway: Promise<Beat> | undefined;
  #stop = (): void => undefined;
  #closed = false;
  /** What was told last, as it was sealed. */
  #told = { lasting: '', passing: '', text: '', beats: 0 };

  constructor(parts: HeartbeatParts) {
    this.#parts = parts;
  }

  /** Beats, and goes on with it. Resolves after the first, also where that failed. */
  async start(): Promise<void> {
    const begun = this.#parts.timers.now();
    const lived = await this.beat().then(
      () => true,
      () => false,
    );
    if (this.#closed) return;
    const passed = this.#parts.timers.now() - begun;
    const wait = lived ? Math.max(0, BEAT_MS - passed) : RETRY_MS;
    this.#stop = this.#parts.timers.after(wait, () => void this.start());
  }

  /** One that begins now. @throws Error where the store does not answer */
  async beat(): Promise<Beat> {
    if (this.#closed) throw new Error('the gateway stops');
    const { id, store, boards, positions, livesMs, timers, heard, failed } = this.#parts;
    const asked = { asOf: timers.now(), positions: positions() };
    const beating = store.beat({ id, text: this.#text() }, boards(), livesMs);
    const beat = await beating.catch((error: unknown) => {
      failed();
      throw error;
    });
    if (!this.#closed) heard(beat, asked);
    return beat;
  }

  /** One that may have begun already: many that need one share it. @throws as {@link beat} */
  shared(): Promise<Beat> {
    this.#underway ??= this.beat().finally(() => {
      this.#underway = undefined;
    });
    return this.#underway;
  }

  /** One that has not begun yet: many that need one share it. @throws as {@link beat} */
  async fresh(): Promise<Beat> {
    await this.#underway?.catch(() => undefined);
    return this.shared();
  }

  close(): void {
    this.#closed = true;
    this.#stop();
  }

  /** The same text while there is nothing new in it: then the store tells it to nobody. */
  #text(): string {
    const { texts, own, live } = this.#parts;
    const { id, ...told } = own();
    const { sessions, lagMs, ...rest } = told;
    const [lasting, passing] = [JSON.stringify(rest), `${sessions} ${lagMs}`];
    const last = this.#told;
    last.beats += 1;
    const isTime = last.beats >= live() / FOR_EACH_BEAT;
    if (lasting !== last.lasting || (isTime && passing !== last.passing))
      this.#told = { lasting, passing, text: texts.instance(id, told), beats: 0 };
    return this.#told.text;
  }
}
