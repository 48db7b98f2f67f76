/** What the parts of a member share. */
import type { Logger } from '../contract/session.ts';
import type { Timers } from '../workers/timers.ts';
import type { FleetStore } from './store.ts';
import type { Texts } from './texts.ts';

/** Of one member. */
export interface MemberParts {
  /** Of this instance. */
  readonly id: string;
  readonly store: FleetStore;
  readonly texts: Texts;
  readonly timers: Timers;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** How long the store may take, in milliseconds. */
  readonly timeoutMs: number;
}

/** Stands for what has not come in time. */
export const LATE = Symbol('late');

/** Resolves with what comes, or with {@link LATE} after so many milliseconds. Rejects as `coming` does. */
export async function inTime<T>(timers: Timers, ms: number, coming: Promise<T>): Promise<T | typeof LATE> {
  let stop = (): void => undefined;
  const late = new Promise<typeof LATE>((resolve) => {
    stop = timers.after(ms, () => {
      // What came while this process was busy is read first.
      stop = timers.after(0, () => resolve(LATE));
    });
  });
  try {
    return await Promise.race([coming, late]);
  } finally {
    stop();
  }
}

/** Resolves after so many milliseconds. */
export const pause = (timers: Timers, ms: number): Promise<void> =>
  new Promise((resolve) => void timers.after(ms, resolve));
