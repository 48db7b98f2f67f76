/**
 * Cancels here what other workers and instances ask for, in two questions: whether a key is known, and then to cancel. However late a question is read, it hits
 * nothing behind the end of the CancelRequest that it is for: the first one does nothing, and the second only what was found a moment ago by the clock of this
 * process. So whoever asks knows when it is over, although clocks differ, questions are lost, and processes hang.
 */
import type { Post } from '../contract/post.ts';
import type { CancelKey, CancelKeys } from './cancel-keys.ts';

/** Asks a worker whether it knows a key. Its answer is a number for {@link CANCEL}; none: it does not. */
export const FIND = ':cancel-key';
/** Asks for the cancel of what was found under a number. Answered when that is over. */
export const CANCEL = ':cancel';
/** How long a worker may take to say whether it knows a key, in milliseconds. */
export const FOUND_MS = 2_000;
/** How long after that a cancel may begin, in milliseconds. */
const BEGINS_MS = 2_000;
/** Longer than a cancel takes at most from its finding on, in milliseconds: until then it might hit the client's next statement. */
export const CANCELED_MS = BEGINS_MS + 11_000;

interface Found {
  readonly key: CancelKey;
  readonly until: number;
}

/** Answers both questions by the keys of this worker alone: a key is never forwarded twice. `now` counts milliseconds. */
export function answerCancels(
  keys: CancelKeys,
  post: Pick<Post, 'answer'>,
  now: () => number = () => performance.now(),
): void {
  // In the order in which they end.
  const found = new Map<number, Found>();
  let last = 0;
  post.answer(FIND, (body) => {
    const key = keyIn(body);
    if (!key || !keys.has(key)) return undefined;
    forgetBefore(now(), found);
    last += 1;
    found.set(last, { key, until: now() + BEGINS_MS });
    return last;
  });
  post.answer(CANCEL, async (number) => {
    if (typeof number !== 'number') return;
    forgetBefore(now(), found);
    const one = found.get(number);
    found.delete(number);
    if (one) await keys.cancel(one.key.processId, one.key.secret);
  });
}

function forgetBefore(now: number, found: Map<number, Found>): void {
  for (const [number, { until }] of found) {
    if (until >= now) return;
    found.delete(number);
  }
}

/** A key as JSON carries it. */
export function bodyOf({ processId, secret }: CancelKey): unknown {
  return [processId, secret.toString('hex')];
}

function keyIn(body: unknown): CancelKey | undefined {
  if (!Array.isArray(body)) return undefined;
  const [processId, secret] = body as readonly unknown[];
  if (typeof processId !== 'number' || typeof secret !== 'string') return undefined;
  return { processId, secret: Buffer.from(secret, 'hex') };
}
