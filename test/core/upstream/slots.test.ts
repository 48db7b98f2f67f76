import { expect, test } from 'vitest';
import { Slots } from '../../../core/upstream/slots.ts';

const FOREVER = 60_000;
const nobody = new AbortController().signal;

test('places go out in the order of asking', async () => {
  const slots = new Slots(1);
  const first = await slots.take(FOREVER, nobody);
  const order: string[] = [];
  const others = ['a', 'b', 'c'].map(async (name) => {
    const vacate = await slots.take(FOREVER, nobody);
    order.push(name);
    vacate();
  });
  expect(slots).toMatchObject({ used: 1, waiting: 3 });
  first();
  await Promise.all(others);
  expect(order).toEqual(['a', 'b', 'c']);
  expect(slots).toMatchObject({ used: 0, waiting: 0 });
});

test('giving a place back twice gives back one', async () => {
  const slots = new Slots(2);
  const [first] = [await slots.take(FOREVER, nobody), await slots.take(FOREVER, nobody)];
  first();
  first();
  expect(slots.used).toBe(1);
});

test('whoever waits too long is refused with 53300 and leaves the queue', async () => {
  const slots = new Slots(1);
  await slots.take(FOREVER, nobody);
  await expect(slots.take(20, nobody)).rejects.toMatchObject({
    sqlstate: '53300',
    message: 'no free connection to the database within 0.02 s',
  });
  expect(slots).toMatchObject({ used: 1, waiting: 0 });
});

test('whoever leaves is passed over, even in the moment a place becomes free', async () => {
  const slots = new Slots(1);
  const first = await slots.take(FOREVER, nobody);
  const leaving = new AbortController();
  const left = slots.take(FOREVER, leaving.signal);
  const stays = slots.take(FOREVER, nobody);
  leaving.abort(new Error('left'));
  first();
  await expect(left).rejects.toThrow('left');
  (await stays)();
  expect(slots).toMatchObject({ used: 0, waiting: 0 });
});

test('whoever got a place in the moment of leaving has it, and can give it back', async () => {
  const slots = new Slots(1);
  const first = await slots.take(FOREVER, nobody);
  const leaving = new AbortController();
  const taking = slots.take(FOREVER, leaving.signal);
  first();
  leaving.abort(new Error('left'));
  (await taking)();
  expect(slots).toMatchObject({ used: 0, waiting: 0 });
});

test('whoever has left already gets nothing', async () => {
  const slots = new Slots(1);
  await expect(slots.take(FOREVER, AbortSignal.abort(new Error('left')))).rejects.toThrow('left');
  expect(slots.used).toBe(0);
});

test('counters are exact after a thousand asks of which some leave', async () => {
  const slots = new Slots(3);
  let most = 0;
  const asks = Array.from({ length: 1_000 }, async (_, i) => {
    const leaving = new AbortController();
    const taking = slots.take(FOREVER, leaving.signal);
    if (i % 3 === 0) setTimeout(() => leaving.abort(new Error('left')), i % 7);
    const vacate = await taking.catch(() => undefined);
    most = Math.max(most, slots.used);
    if (i % 2 === 0) await new Promise((resolve) => setTimeout(resolve, i % 3));
    vacate?.();
  });
  await Promise.all(asks);
  expect(slots).toMatchObject({ used: 0, waiting: 0 });
  expect(most).toBe(3);
});
