/** The store of a fleet when its primary dies and a replica takes over that has not heard of the last changes. */
import { expect, onTestFinished, test, vi } from 'vitest';
import { describeWith } from '../../support/programs.ts';
import { watchedRedis } from '../../support/sentinel.ts';
import { alive, storeAt } from './redis-store.ts';

const PATIENCE = { timeout: 60_000, interval: 200 };

describeWith('redis-server', (program) => {
  test('a replica that takes over is found by the Sentinels, and what it has not heard of shows', async () => {
    const watched = await watchedRedis(program);
    onTestFinished(() => watched.stop());
    // One Sentinel is away: another is asked.
    const sentinels = [1, watched.sentinelPort].map((port) => ({ host: '127.0.0.1', port }));
    const store = await storeAt('redis://fleet', { sentinels, timeoutMs: 500 });
    await vi.waitFor(() => alive(store), PATIENCE);
    await store.change('x', { field: 'kept', tag: '1', text: '' }, undefined);
    await vi.waitFor(async () =>
      expect(await watched.replica.ask('exists postern:{test}:seq:x')).toContain(':1'),
    );
    await watched.fallBehind();
    await store.change('x', { field: 'lost', tag: '2', text: '' }, undefined);
    const before = await alive(store, 'a', ['x']);
    expect(before.latest).toEqual({ x: 2 });

    await watched.primary.kill();
    const after = await vi.waitFor(() => alive(store, 'a', ['x']), PATIENCE);
    expect(after.latest).toEqual({ x: 1 });
    // Also where the next change gets the place of the one that was lost.
    expect(after.epoch).not.toBe(before.epoch);
    expect(await store.change('x', { field: 'next', tag: '3', text: '' }, undefined)).toBe(2);
    const next = { boards: { x: 1 }, post: '0' };
    await vi.waitFor(async () => {
      const { changes } = await store.read('a', next, 0);
      expect(changes['x']).toEqual([{ seq: 2, field: 'next', tag: '3', text: '' }]);
    }, PATIENCE);
  });

  test('Sentinels that are away keep no gateway from starting, and are asked again', async () => {
    const sentinels = [{ host: '127.0.0.1', port: 1 }];
    const store = await storeAt('redis://fleet', { sentinels });
    await expect(alive(store)).rejects.toThrow(/sentinels are unreachable/i);
  });
});
