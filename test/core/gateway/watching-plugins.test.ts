/** Plugins that watch the same thing: one of them that throws takes nothing from the others. */
import { expect, test } from 'vitest';
import type { Board, GatewayHandle } from '../../../core/index.ts';
import { databaseOf, mapTo } from '../../support/gateway.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { fleetOf } from '../../plugins/fleet.ts';

/** A callback of a plugin in JavaScript may return a promise: no checker refuses it. */
const WAYS: readonly (readonly [string, () => unknown])[] = [
  [
    'throws',
    () => {
      throw new Error('not today');
    },
  ],
  ['rejects', () => Promise.reject(new Error('not today'))],
];

test.each(WAYS)(
  'the log names a plugin whose callback %s, and all other callbacks are called',
  async (_, fail) => {
    const heard: string[] = [];
    let board: Board | undefined;
    const setup = async (gateway: GatewayHandle): Promise<void> => {
      board = await gateway.board('state');
      board.watch(fail);
      board.watch(() => heard.push('board'));
      gateway.fleet?.watch(fail);
      gateway.fleet?.watch(() => heard.push('fleet'));
    };
    const fleet = fleetOf();
    const one = await fleet.start('a', {
      databases: { orders: databaseOf(sharedPostgres()) },
      plugins: [{ name: 'watcher', setup }, mapTo('reader')],
    });
    await board?.put('a', 1);
    expect(heard).toContain('board');
    await fleet.join('b');
    await expect.poll(() => heard, { timeout: 5_000 }).toContain('fleet');
    const lines = one.lines('a plugin has failed to hear of a change');
    expect(lines.length).toBeGreaterThan(1);
    for (const { plugin, error } of lines)
      expect([plugin, error]).toEqual(['watcher', expect.stringContaining('not today')]);
  },
);
