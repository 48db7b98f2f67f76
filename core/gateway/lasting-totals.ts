/** What sessions have used since the gateway's start: those of workers that have died count on. */
import type { Board } from '../contract/board.ts';
import { LastingCounts } from '../contract/lasting-counts.ts';
import type { Counted, KnownCounts } from '../contract/lasting-counts.ts';
import type { TotalsReading } from '../contract/readings.ts';
import type { Coordination } from '../workers/coordination.ts';
import { joinedTotals } from './joined-readings.ts';
import { MOST_ENTRIES } from './statistics.ts';

/** By entry. */
export type Totals = readonly TotalsReading[];

/** On this board is what each worker has told last. */
const BOARD = ':totals';

/** As many of the dead as of the living: a `'*'` may serve any number of names. */
const sum = (one: Totals, other: Totals): Totals => joinedTotals([...one, ...other]).slice(-MOST_ENTRIES);

/** The totals of the gateway from those of the workers that have answered. */
export async function lastingTotals(
  coordination: Pick<Coordination, 'board'>,
  told: ReadonlyMap<number, Counted<Totals>>,
): Promise<Totals> {
  const living = [...told.values()].flatMap(({ counts }) => counts);
  // There is none where the gateway stops.
  const board = await coordination.board(BOARD).catch(() => undefined);
  const missing = board ? new LastingCounts(board as Board<KnownCounts<Totals>>, sum).missingIn(told) : [];
  return joinedTotals([...living, ...missing.flat()]);
}
