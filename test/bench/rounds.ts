/** Measures peers in turn, several times, and gives the medians: the machine's speed drifts, and so does what else runs on it. */
import { median } from './percentile.ts';
import type { Figures } from './table.ts';

/** How often each is measured: odd, so that there is a median. */
export const ROUNDS = 3;

/** The median of each figure; where one is missing in a round, that of the others. What has failed is added up. */
export function medians(rounds: readonly Figures[]): Figures {
  const keys = new Set(rounds.flatMap((round) => Object.keys(round)));
  return Object.fromEntries(
    [...keys].map((key) => {
      const known = rounds.map((round) => round[key]).filter((value) => value !== undefined);
      if (key === 'failed') return [key, known.reduce((sum, value) => sum + value, 0)];
      return [key, known.length > 0 ? median(known) : undefined];
    }),
  );
}

/** One figure after another: each peer is warmed up, then all are measured in turn. @returns the medians, as the peers are listed */
export async function inTurn<P>(
  peers: readonly P[],
  warmUp: (peer: P) => Promise<unknown>,
  measure: (peer: P) => Promise<Figures>,
): Promise<readonly Figures[]> {
  for (const peer of peers) await warmUp(peer);
  const rounds = peers.map((): Figures[] => []);
  for (let round = 0; round < ROUNDS; round += 1)
    for (const [i, peer] of peers.entries()) rounds[i]!.push(await measure(peer));
  return rounds.map(medians);
}
