/** What another one has put on a board first: in a fleet it is known some milliseconds later. */
import type { Board } from '../../core/index.ts';

/** How long it is waited for, in milliseconds. */
const PATIENCE_MS = 1_000;

/** The value under an id once it is another than this one; the value that there is after a second. For who has just lost a `put` with `expected`. */
export async function otherValue<V>(
  board: Board<V>,
  id: string,
  known: V | undefined,
): Promise<V | undefined> {
  const before = JSON.stringify(known);
  if (JSON.stringify(board.get(id)) !== before) return board.get(id);
  const { promise, resolve } = later();
  const timer = setTimeout(resolve, PATIENCE_MS);
  const unwatch = board.watch(() => JSON.stringify(board.get(id)) !== before && resolve());
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    unwatch();
  }
  return board.get(id);
}

function later(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
