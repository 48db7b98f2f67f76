/** Gateways as the workers of one parent: a new config comes into force in all of them, or in none. */
import { tmpdir } from 'node:os';
import { afterEach, describe, expect, test } from 'vitest';
import { reloadableOf } from '../../../core/cli/worker-reload.ts';
import { checkConfig } from '../../../core/config/check.ts';
import type { ResolvedConfig } from '../../../core/config/resolved.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { Gateway } from '../../../core/gateway.ts';
import { createLogger } from '../../../core/telemetry/log.ts';
import { databaseOf, logIn, mapTo } from '../../support/gateway.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { RawClient } from '../../support/raw-client.ts';
import { linkWorkers } from '../../support/worker-links.ts';

const postgres = sharedPostgres();
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).toReversed()) await stop();
});

/** What each worker reads, and does with it. */
interface Disk {
  version: string;
  /** Runs in the `setup` of a plugin of each worker. */
  setUp: (worker: number) => Promise<void> | void;
  /** What each worker finds in place of the version. */
  readonly found: Map<number, string>;
}

interface Workers {
  readonly disk: Disk;
  readonly reload: () => Promise<void>;
  readonly kill: (worker: number) => void;
  /** Versions whose plugins are set up, by worker. */
  readonly live: ReadonlyMap<number, ReadonlySet<string>>;
  readonly generations: () => readonly (number | undefined)[];
  readonly lines: { readonly text: string; readonly fields: object }[];
  readonly ports: number[];
  readonly readyz: () => Promise<string>;
}

/** From now on a worker cannot prepare a config until the function that is returned is called. */
function holdUp({ disk }: Workers, held: number): () => void {
  let goOn = (): void => {};
  disk.setUp = (worker) => (worker === held ? new Promise<void>((resolve) => (goOn = resolve)) : undefined);
  return () => goOn();
}

async function start(count: number): Promise<Workers> {
  const disk: Disk = { version: 'a', setUp() {}, found: new Map() };
  const lines: Workers['lines'] = [];
  const line = (fields: object, text: string): void => void lines.push({ text, fields });
  const linked = linkWorkers(count, undefined, { log: { info: line, error: line } });
  stops.push(linked.close);
  const live = new Map<number, Set<string>>();
  const witness = (worker: number, version: string): AnyPlugin => ({
    name: 'witness',
    async setup() {
      const versions = live.get(worker) ?? new Set();
      live.set(worker, versions.add(version));
      try {
        await disk.setUp(worker);
      } catch (error) {
        versions.delete(version);
        throw error;
      }
      return () => void versions.delete(version);
    },
  });
  const configOf = (worker: number, version: string): ResolvedConfig =>
    checkConfig(
      {
        listen: { port: 0 },
        admin: { port: 0 },
        databases: { orders: databaseOf(postgres) },
        plugins: [witness(worker, version), mapTo('reader')],
      },
      tmpdir(),
    );
  const [ports, admins]: [number[], number[]] = [[], []];
  for (const link of linked.links) {
    const { worker } = link;
    const gateway = new Gateway(configOf(worker, 'a'), createLogger('silent'), link);
    stops.push(() => gateway.stop());
    const { listeners, admin } = await gateway.start();
    ports.push(listeners[0]?.port ?? 0);
    admins.push(admin?.port ?? 0);
    const loadFiles = (): Promise<{ config: ResolvedConfig; digest: string; isCurrent: () => boolean }> => {
      const digest = disk.found.get(worker) ?? disk.version;
      return Promise.resolve({ config: configOf(worker, digest), digest, isCurrent: () => true });
    };
    await link.loaded('a', reloadableOf({ loadFiles }, gateway));
  }
  const readyz = async (): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${admins[0]}/readyz?verbose`);
    return `${response.status} ${await response.text()}`;
  };
  return {
    disk,
    reload: () => linked.hub.reload(),
    kill: linked.kill,
    live,
    generations: () => linked.links.map(({ generation }) => generation),
    lines,
    ports,
    readyz,
  };
}

/** Versions that are set up in each of these workers, once former ones are disposed of. */
async function expectLive(
  { live }: Workers,
  workers: readonly number[],
  versions: readonly string[],
): Promise<void> {
  await expect
    .poll(() => workers.map((one) => [...(live.get(one) ?? [])]))
    .toEqual(workers.map(() => versions));
}

const texts = ({ lines }: Workers): readonly string[] => lines.map(({ text }) => text);

describe.each([[2], [3]])('%i workers', (count) => {
  const all = Array.from({ length: count }, (_, index) => index + 1);

  test('reload together, and a session goes on under the config that it began with', async () => {
    const workers = await start(count);
    const client = await RawClient.connect(workers.ports[1] ?? 0);
    stops.push(() => client.destroy());
    await logIn(client);
    workers.disk.version = 'b';
    await workers.reload();
    await expect.poll(workers.generations).toEqual(all.map(() => 2));
    await expectLive(workers, [1], ['b']);
    await expectLive(workers, [2], ['a', 'b']);
    client.destroy();
    await expectLive(workers, all, ['b']);
    expect(texts(workers)).toEqual(['reloaded']);
  });

  test('one whose config is broken keeps all from it, and nothing of it is left', async () => {
    const workers = await start(count);
    workers.disk.version = 'b';
    workers.disk.setUp = (worker) => {
      if (worker === 2) throw new Error('no such key');
    };
    await expect(workers.reload()).rejects.toThrow("plugin 'witness' did not start: no such key");
    await expectLive(workers, all, ['a']);
    expect(workers.generations()).toEqual(all.map(() => 1));
    expect(texts(workers)).toEqual(['reload failed']);
    expect(await workers.readyz()).toMatch(/config: as of .*; the reload of .* failed, the log says why/);
    workers.disk.setUp = () => {};
    await workers.reload();
    await expectLive(workers, all, ['b']);
  });

  test('nobody has it in force while one is slow', async () => {
    const workers = await start(count);
    workers.disk.version = 'b';
    const goOn = holdUp(workers, 2);
    const reloaded = workers.reload();
    await expectLive(workers, all, ['a', 'b']);
    expect(workers.generations()).toEqual(all.map(() => 1));
    goOn();
    await reloaded;
    await expectLive(workers, all, ['b']);
  });

  test.each([
    ['prepares', 2],
    ['waits for the others', 1],
  ])('one that dies while it %s is left out of a second attempt', async (_, dying) => {
    const workers = await start(count);
    workers.disk.version = 'b';
    const goOn = holdUp(workers, 2);
    const reloaded = workers.reload();
    await expectLive(workers, all, ['a', 'b']);
    workers.disk.setUp = () => {};
    workers.kill(dying);
    goOn();
    await reloaded;
    await expectLive(
      workers,
      all.filter((worker) => worker !== dying),
      ['b'],
    );
    expect(texts(workers)).toEqual(['reloaded']);
  });

  test('different files in two workers are no reload', async () => {
    const workers = await start(count);
    workers.disk.version = 'b';
    workers.disk.found.set(2, 'c');
    await expect(workers.reload()).rejects.toThrow('files of the config have changed');
    await expectLive(workers, all, ['a']);
    expect(texts(workers)).toEqual(['reload failed']);
  });

  test('readiness has a line for each worker, and one that is ready is enough', async () => {
    const workers = await start(count);
    await expect
      .poll(workers.readyz)
      .toMatch(
        /^200 (.*\n)*\[\+\] worker 1: ready, config 1\n\[\+\] worker 2: ready, config 1\n(.*\n)?ready\n$/,
      );
    workers.kill(2);
    expect(await workers.readyz()).toMatch(
      /^200 (.*\n)*\[\+\] worker 2: not running; the log says why\n(.*\n)?ready\n$/,
    );
  });
});
