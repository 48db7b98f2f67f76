/** What plugins have only one of all instances do: one at a time, and another one after it. */
import { tmpdir } from 'node:os';
import { expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import type { AnyPlugin } from '../../../core/index.ts';
import type { Coordination } from '../../../core/workers/coordination.ts';
import { SingleProcess } from '../../../core/workers/single-process.ts';
import { fleetOf } from '../../plugins/fleet.ts';
import type { FleetInstanceInTest } from '../../plugins/fleet.ts';
import { databaseOf, mapTo } from '../../support/gateway.ts';
import type { TestConfig } from '../../support/gateway.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { linkWorkers } from '../../support/worker-links.ts';

/** Which instances have begun a task, by the task. */
type Begun = Record<string, string[]>;

function plugin(
  name: string,
  instance: string,
  begun: Begun,
  tasks: readonly string[] = ['turn'],
): AnyPlugin {
  return {
    name,
    setup(gateway) {
      for (const task of tasks)
        gateway.alone(task, () => void (begun[`${name} ${task}`] ??= []).push(instance), { of: 'fleet' });
    },
  };
}

const configOf = (plugins: readonly AnyPlugin[]): TestConfig => ({
  databases: { orders: databaseOf(sharedPostgres()) },
  plugins: [...plugins, mapTo('reader')] as TestConfig['plugins'],
});

const reload = ({ gateway }: FleetInstanceInTest, plugins: readonly AnyPlugin[]): Promise<void> =>
  gateway.reload(async () => checkConfig({ listen: { port: 0 }, ...configOf(plugins) }, tmpdir()));

/** More than a beat: whoever could begin has done so. */
const beats = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1_500));

test('one of two instances does it, and the other one once that has stopped', async () => {
  const begun: Begun = {};
  const fleet = fleetOf();
  const a = await fleet.start('a', configOf([plugin('one', 'a', begun)]));
  await fleet.start('b', configOf([plugin('one', 'b', begun)]));
  await beats();
  expect(begun).toEqual({ 'one turn': ['a'] });
  await a.stop();
  await expect.poll(() => begun['one turn'], { timeout: 5_000 }).toEqual(['a', 'b']);
});

test('tasks of two names, and of two plugins, are not the same', async () => {
  const begun: Begun = {};
  const plugins = [plugin('one', 'a', begun, ['turn', 'look']), plugin('two', 'a', begun)];
  await fleetOf().start('a', configOf(plugins));
  await expect.poll(() => begun).toEqual({ 'one turn': ['a'], 'one look': ['a'], 'two turn': ['a'] });
});

test('it goes on in the same instance after a reload, and in another one where the config has it no more', async () => {
  const begun: Begun = {};
  const fleet = fleetOf();
  const a = await fleet.start('a', configOf([plugin('one', 'a', begun)]));
  await reload(a, [plugin('one', 'a again', begun)]);
  // It asks for the task at once: it would get it if the config before had given it back.
  await fleet.start('b', configOf([plugin('one', 'b', begun)]));
  await beats();
  expect(begun).toEqual({ 'one turn': ['a', 'a again'] });
  await reload(a, []);
  await expect.poll(() => begun['one turn'], { timeout: 5_000 }).toEqual(['a', 'a again', 'b']);
});

test('without a fleet the lead does it', async () => {
  const begun: number[] = [];
  const { links, close } = linkWorkers(2);
  onTestFinished(close);
  for (const link of [...links, new SingleProcess()])
    link.whenAlone('one/turn', () => void begun.push(link.worker));
  await expect.poll(() => begun).toEqual([1, 1]);
});

test('of the workers of two instances one does it, and another one once that has died or leaves it', async () => {
  const begun: string[] = [];
  const fleet = fleetOf();
  const workersOf = async (instance: string): Promise<ReturnType<typeof linkWorkers>> => {
    const linked = linkWorkers(2, undefined, { member: await fleet.join(instance) });
    onTestFinished(() => linked.close());
    return linked;
  };
  const [a, b] = [await workersOf('a'), await workersOf('b')];
  const alone = (instance: string, link: Coordination | undefined): (() => void) | undefined =>
    link?.whenAlone('one/turn', () => void begun.push(`${instance}${link.worker}`));
  const [, second] = a.links.map((link) => alone('a', link));
  await expect.poll(() => begun).toEqual(['a1']);
  a.kill(1);
  await expect.poll(() => begun).toEqual(['a1', 'a2']);
  for (const link of b.links) alone('b', link);
  await beats();
  expect(begun).toEqual(['a1', 'a2']);
  second?.();
  await expect.poll(() => begun, { timeout: 5_000 }).toEqual(['a1', 'a2', 'b1']);
});
