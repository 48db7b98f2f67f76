/** A board as plugins have it: reads its copy, and has others make its changes. */
import type { Board, PutOptions } from '../contract/board.ts';
import type { BoardCopy } from './board-copy.ts';
import type { BoardEntry } from './messages.ts';

/** Resolves when every copy has the change: with false where the value was not `expected`, which is JSON, or null for none. */
export type ChangeBoard = (entry: BoardEntry, expected: string | null | undefined) => Promise<boolean>;

/** The board of a copy. */
export function boardOf(copy: BoardCopy, change: ChangeBoard): Board {
  return {
    get: (id) => copy.get(id),
    all: () => copy.all(),
    watch: (changed) => copy.watch(changed),
    async put(id, value, options: PutOptions<unknown> = {}) {
      const { until } = options;
      // Here, so that a value that JSON does not carry is refused where it comes from.
      const carried: unknown = JSON.parse(JSON.stringify(value));
      const entry = { id, value: carried, ...(until !== undefined && { until }) };
      return change(entry, expectedIn(options));
    },
    async drop(id) {
      await change({ id }, undefined);
    },
  };
}

function expectedIn(options: PutOptions<unknown>): string | null | undefined {
  if (!('expected' in options)) return undefined;
  return options.expected === undefined ? null : JSON.stringify(options.expected);
}
