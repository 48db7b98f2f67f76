/** The middle, and the ends, of what was measured. */

/**
 * The smallest value that at least `percent` per cent of them do not exceed (nearest rank); NaN of none.
 * @example percentile([1, 2, 3, 4], 50) === 2
 */
export function percentile(values: ArrayLike<number>, percent: number): number {
  const sorted = Float64Array.from(values).sort();
  const rank = Math.max(1, Math.ceil((percent / 100) * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** The middle one; of an even number the lower of the two; NaN of none. */
export function median(values: ArrayLike<number>): number {
  return percentile(values, 50);
}
