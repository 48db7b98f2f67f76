/** Work within limits of time: its result, its error, or the reason why it was given up. */
import { expect, test } from 'vitest';
import { abortable, overBy, within } from '../../../core/upstream/deadline.ts';

const late = (): Error => new Error('late');
const LONG_MS = 600_000;

/** Ends with the reason of its signal. */
const hanging = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gave up'))));

test('work that ends in time gives its result or its error', async () => {
  const { signal } = new AbortController();
  expect(await within(LONG_MS, signal, late, () => Promise.resolve(5))).toBe(5);
  const refused = within(LONG_MS, signal, late, () => Promise.reject(new Error('refused')));
  await expect(refused).rejects.toThrow('refused');
});

test('work that does not is aborted, and the error says that it was late', async () => {
  await expect(within(1, new AbortController().signal, late, hanging)).rejects.toThrow('late');
});

test('work whose caller gives up is aborted with the reason of the caller', async () => {
  const caller = new AbortController();
  const working = within(LONG_MS, caller.signal, late, hanging);
  caller.abort(new Error('the session has ended'));
  await expect(working).rejects.toThrow('the session has ended');
  const begun = within(LONG_MS, caller.signal, late, () => Promise.resolve(5));
  await expect(begun).rejects.toThrow('the session has ended');
});

test('a promise that knows no signal is left behind when its caller gives up', async () => {
  const caller = new AbortController();
  const waiting = abortable(new Promise(() => {}), caller.signal);
  caller.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  await expect(abortable(new Promise(() => {}), caller.signal)).rejects.toThrow('enough');
  expect(await abortable(Promise.resolve(5), new AbortController().signal)).toBe(5);
});

test('work is over by a moment that may be moved, also by one that has passed already', async () => {
  expect(await overBy(Promise.resolve(), () => -Infinity)).toBe(true);
  expect(await overBy(new Promise(() => {}), () => -Infinity)).toBe(false);
  expect(await overBy(new Promise((resolve) => setTimeout(resolve, 1)), () => Infinity)).toBe(true);
  let until = performance.now() + LONG_MS;
  const moved = overBy(new Promise(() => {}), () => until);
  setTimeout(() => (until = -Infinity), 1);
  expect(await moved).toBe(false);
});
