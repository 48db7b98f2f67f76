/** Guesses what somebody meant to write. */

/** Optimal string alignment: insertions, deletions, replacements and swaps of neighbours. */
function distance(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const at = (up: number, left: number): number =>
        (up === 0 ? row : rows[i - up])?.[j - left] ?? Infinity;
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(Math.min(at(1, 0) + 1, at(0, 1) + 1, at(1, 1) + same, swapped ? at(2, 2) + 1 : Infinity));
    }
    rows.push(row);
  }
  return rows[a.length]?.[b.length] ?? Infinity;
}

/** Two slips in a long name are a typo; in a short one they make another word. */
function tolerance(name: string): number {
  return name.length < 5 ? 1 : Math.max(2, Math.floor(name.length / 3));
}

/** The known name closest to `name`, letter case ignored; undefined where none is close. */
export function nearestName(name: string, known: Iterable<string>): string | undefined {
  // Far longer than any known name: not a typo, and not worth the square of its length.
  if (name.length > 64) return undefined;
  let best: string | undefined;
  let least = tolerance(name) + 1;
  for (const candidate of known) {
    const away = distance(name.toLowerCase(), candidate.toLowerCase());
    if (away >= least) continue;
    least = away;
    best = candidate;
  }
  return best;
}

/** `; did you mean 'x'?`, or nothing where no known name is close. */
export function didYouMean(name: string, known: Iterable<string>): string {
  const near = nearestName(name, known);
  return near === undefined ? '' : `; did you mean '${near}'?`;
}
