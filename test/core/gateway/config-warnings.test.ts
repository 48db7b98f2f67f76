/** Warnings about a config are told once by a gateway, however many workers it has, and again at a reload. */
import { expect, onTestFinished, test } from 'vitest';
import { warnOfConfig } from '../../../core/gateway/config-warnings.ts';
import type { PinoLogger } from '../../../core/telemetry/log.ts';
import type { Coordination } from '../../../core/workers/coordination.ts';
import { SingleProcess } from '../../../core/workers/single-process.ts';
import { linkWorkers } from '../../support/worker-links.ts';

/** Calls it in a worker. `told`: who has written a line. */
function warn(told: number[], coordination: Coordination, fields: object = { host: '0.0.0.0' }): void {
  const log = { warn: () => told.push(coordination.worker) } as unknown as PinoLogger;
  warnOfConfig({ coordination, log }, fields, 'admin is plain HTTP');
}

const settled = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 20));

test('by one of the workers, not by the successor of a dead one, and again at a reload', async () => {
  const linked = linkWorkers(3);
  onTestFinished(linked.close);
  const told: number[] = [];
  for (const link of linked.links) warn(told, link);
  await expect.poll(() => told).toHaveLength(1);
  linked.kill(1);
  const heir = linked.successor(1);
  warn(told, heir);
  await settled();
  expect(told).toHaveLength(1);
  warn(told, heir, { host: '::' });
  await expect.poll(() => told).toHaveLength(2);
  const serving = [linked.links[1]!, linked.links[2]!, heir];
  const reloadable = { prepare: () => Promise.reject(new Error('not now')), failed() {} };
  await Promise.all(serving.map((link) => link.loaded('digest', reloadable)));
  for (const link of serving) warn(told, link);
  await expect.poll(() => told).toHaveLength(3);
  await settled();
  expect(told).toHaveLength(3);
});

test('at once, and each time, where there is one process', () => {
  const only = new SingleProcess();
  const told: number[] = [];
  warn(told, only);
  warn(told, only);
  expect(told).toEqual([1, 1]);
});

test('rather than never where the gateway stops', async () => {
  const linked = linkWorkers(2);
  const told: number[] = [];
  linked.close();
  warn(told, linked.links[0]!);
  await expect.poll(() => told).toEqual([1]);
});
