/** One pool of connections over four workers, beside the pool of one process under the same load: throughput, waits, and what it costs. Simulated. */
import { expect, test } from 'vitest';
import { simulate } from './simulated-load.ts';

const SIZE = 20;
const SKEWED = [50, 1, 1, 1];

const loads: readonly (readonly [name: string, clients: readonly (readonly number[])[]])[] = [
  ['50 of 53 clients in one worker', [SKEWED]],
  ['as many clients in each worker', [[14, 13, 13, 13]]],
  [
    '50 of 53 clients in another worker each second',
    SKEWED.map((_, first) => SKEWED.map((_n, worker) => (worker === first ? 50 : 1))),
  ],
];

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((one, other) => one - other)[numbers.length >> 1] ?? 0;

const cases = loads.flatMap(([name, clients]) => [1, 2].map((seed) => [name, seed, clients] as const));

test.each(cases)('%s, seed %i: nine tenths of the throughput of one pool', (_, seed, clients) => {
  const shifts = clients.length > 1;
  const times = { phaseMs: 1_000, warmUpMs: shifts ? 1_000 : 500, ms: shifts ? 2_000 : 1_000 };
  const one = simulate({
    size: SIZE,
    seed,
    ...times,
    clients: clients.map((phase) => [phase.reduce((a, b) => a + b)]),
  });
  const four = simulate({ size: SIZE, seed, ...times, clients });
  expect(four.tps).toBeGreaterThanOrEqual(0.9 * one.tps);
  const means = four.waits.flat().map(({ mean }) => mean);
  for (const [index, mean] of means.entries())
    expect(mean).toBeLessThanOrEqual(3 * median(means.toSpliced(index, 1)));
  // A request does not wait for another worker for longer than it takes to find that it does.
  for (const { longest } of four.waits.flat()) expect(longest).toBeLessThanOrEqual(100);
  // No fork of the server but for the pool itself, and what a shift moves.
  expect(four.opened).toBeLessThanOrEqual(shifts ? 20 : SIZE);
  expect(four.messages).toBeLessThanOrEqual(4 * 200);
});

test.each([
  [1, [1, 1]],
  [1, [5, 5]],
  [2, [5, 5, 5, 5]],
])('%i connections and %j clients: each is served, though no connection is ever idle', (size, clients) => {
  const times = { seed: 1, phaseMs: 1_000, warmUpMs: 500, ms: 3_000 };
  const one = simulate({ size, ...times, clients: [[clients.reduce((a, b) => a + b)]] });
  const many = simulate({ size, ...times, clients: [clients] });
  expect(many.tps).toBeGreaterThanOrEqual(0.9 * one.tps);
  const served = many.waits.flat().map(({ transactions }) => transactions);
  expect(Math.min(...served)).toBeGreaterThan(median(served) / 3);
  for (const { longest } of many.waits.flat()) expect(longest).toBeLessThanOrEqual(300);
  // Each is opened for a fifth of a second.
  expect(many.opened).toBeLessThanOrEqual(clients.length * 5);
});
