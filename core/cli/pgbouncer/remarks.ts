/** What of a pgbouncer.ini is not taken over as it is, by the lines on which it stands. */
import type { Place } from './ini.ts';

/** A sentence on a line. */
export interface Remark {
  /** Undefined: about what does not stand in the file. */
  readonly place: Place | undefined;
  readonly text: string;
}

/** All of them. */
export class Remarks {
  readonly #all: Remark[] = [];

  /** No text may have a secret in it: it is printed, and stands in the config. */
  add(place: Place | undefined, text: string): void {
    this.#all.push({ place, text });
  }

  /** `pgbouncer.ini:12: …`, by file and line; what stands nowhere comes last. */
  lines(): readonly string[] {
    const files = [...new Set(this.#all.map(({ place }) => place?.file))];
    const rank = ({ place }: Remark): number => (place ? files.indexOf(place.file) : files.length);
    const sorted = this.#all.toSorted(
      (one, other) => rank(one) - rank(other) || (one.place?.line ?? 0) - (other.place?.line ?? 0),
    );
    const lines = sorted.map(({ place, text }) => (place ? `${place.file}:${place.line}: ${text}` : text));
    return [...new Set(lines)];
  }
}
