/** How long a server that is down or full is left alone. */

/** The first and the longest pause after a failure, in milliseconds. */
const [FIRST_MS, LONGEST_MS] = [20, 500];

/** After so many failures in a row, in milliseconds: times a random factor from 0.5 to 1.5, so that not all gateways come at once. */
export const pauseAfter = (failures: number): number =>
  Math.min(FIRST_MS * 2 ** (failures - 1), LONGEST_MS) * (0.5 + Math.random());
