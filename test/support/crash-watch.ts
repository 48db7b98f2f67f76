/** Crashes of PostgreSQL itself: version 18.4 ends with a segmentation fault on some mixtures of COPY and extended messages. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { OwnPostgres } from './postgres.ts';

/** The postmaster's words for a backend that a signal ended. */
export const CRASH = 'was terminated by signal';

/**
 * For tests that send random messages, to a server of their own: such a crash ends all its sessions. The function that it returns
 * tells whether one has happened since it was last called, and resolves when the server answers again.
 */
export function crashWatch(postgres: () => OwnPostgres): () => Promise<boolean> {
  let known = 0;
  return async () => {
    await sleep(500);
    const now = postgres().log().split(CRASH).length - 1;
    if (now === known) return false;
    known = now;
    const up = (): Promise<boolean> =>
      postgres()
        .sql('select 1')
        .then(
          () => true,
          () => false,
        );
    await expect.poll(up).toBe(true);
    return true;
  };
}
