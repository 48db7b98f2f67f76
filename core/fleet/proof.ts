/** Whether every live instance has what was put on a board. */
import type { FleetInstance, FleetProof } from '../contract/fleet.ts';
import type { Timers } from '../workers/timers.ts';
import type { FleetBoard } from './board.ts';
import { inTime } from './parts.ts';
import type { Beat } from './store.ts';

type Named = Pick<FleetInstance, 'id' | 'name'>;

/** A place in the log of a board: that of a log that the store has lost a part of meanwhile is another one. */
export interface ProvenPlace {
  readonly seq: number;
  readonly epoch: string;
}

/** What a proof is made of. */
interface ProofParts {
  readonly timers: Timers;
  readonly board: FleetBoard | undefined;
  readonly beat: () => Promise<Beat>;
  readonly own: Named;
  /** Those that live, after a beat. */
  readonly others: () => readonly Named[];
  /** Those that vanished and may still serve: they do not know yet that they are cut off. */
  readonly lost: () => readonly Named[];
  /** Whether another one says that all of its workers have it. */
  readonly reaches: (id: string, place: ProvenPlace, withinMs: number) => Promise<boolean>;
}

/** Never rejects. */
export async function proofOf(name: string, withinMs: number, parts: ProofParts): Promise<FleetProof> {
  const { timers, board, own, others, lost } = parts;
  const until = timers.now() + withinMs;
  const place = await placeIn(name, withinMs, parts).catch(() => undefined);
  const asked = [...others(), ...lost()];
  const live = 1 + others().length;
  if (place === undefined) return { live, missing: asked.map((one) => one.name) };
  const left = Math.max(0, until - timers.now());
  const here = inTime(timers, left, board?.reaches(place.seq).then(() => true) ?? Promise.resolve(true));
  const known = await Promise.all([
    here.catch(() => false),
    ...asked.map(({ id }) => parts.reaches(id, place, left)),
  ]);
  const missing = [own, ...asked].filter((_, index) => known[index] !== true);
  return { live, missing: missing.map((one) => one.name) };
}

/** The place of the last change, after all that this instance has made, and what the store has lost of it; who lives then is heard with it. */
async function placeIn(
  name: string,
  withinMs: number,
  { board, beat, timers }: ProofParts,
): Promise<ProvenPlace> {
  const until = timers.now() + withinMs;
  for (;;) {
    const left = until - timers.now();
    await board?.told(left);
    const heard = await inTime(timers, left, beat());
    if (typeof heard === 'symbol') throw new Error('the store of the fleet does not answer');
    const { epoch, latest } = heard;
    if (!board || board.isWhole) return { seq: latest[name] ?? 0, epoch };
    await inTime(timers, until - timers.now(), board.whole());
  }
}
