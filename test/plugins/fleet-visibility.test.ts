/** What operators see of a fleet: metrics, lines of the audit trail, lists of the console. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { SingleProcess } from '../../core/workers/single-process.ts';
import { Chain, NOTHING_BEFORE, unseal } from '../../plugins/audit/chain.ts';
import { audit } from '../../plugins/audit/index.ts';
import { OtlpSink } from '../../plugins/audit/otlp-sink.ts';
import { showLists } from '../../plugins/console/show-lists.ts';
import { tracing } from '../../plugins/tracing/index.ts';
import { databaseOf, mapTo } from '../support/gateway.ts';
import type { TestConfig } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { linkWorkers } from '../support/worker-links.ts';
import { auditFolder, linesIn } from './audit-lines.ts';
import { fleetOf } from './fleet.ts';
import type { FleetInstanceInTest } from './fleet.ts';
import { host } from './gateway.ts';

const configOf = (plugins: readonly unknown[]): TestConfig => ({
  admin: { host: '127.0.0.1', port: 0 },
  databases: { orders: databaseOf(sharedPostgres()) },
  plugins: [...plugins, mapTo('reader')] as TestConfig['plugins'],
});

async function metricsOf({ adminPort }: FleetInstanceInTest): Promise<Record<string, number>> {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith('postern_fleet'));
  return Object.fromEntries(
    lines.map((line) => line.split(' ')).map(([name = '', is]) => [name, Number(is)]),
  );
}

test('metrics say how many instances live, for how long the store has not answered, and how often limits were local', async () => {
  const fleet = fleetOf({ staleMs: 2_000 });
  const config = configOf([tracing({ metrics: { public: true } })]);
  const one = await fleet.start('a', config);
  await fleet.start('b', config);
  const well = {
    postern_fleet_instances: 2,
    postern_fleet_stale: 0,
    postern_fleet_store_silence_seconds: 0,
    postern_fleet_limits_silence_seconds: 0,
  };
  const outages = (times: number) => ({ ...well, postern_fleet_limits_outages_total: times });
  await expect.poll(() => metricsOf(one), { timeout: 5_000 }).toEqual(outages(0));
  await one.cut();
  await expect.poll(() => metricsOf(one), { timeout: 5_000 }).toMatchObject({ postern_fleet_stale: 1 });
  expect((await metricsOf(one))['postern_fleet_store_silence_seconds']).toBeGreaterThan(1);
  expect((await metricsOf(one))['postern_fleet_limits_silence_seconds']).toBeGreaterThan(0);
  one.heal();
  await expect.poll(() => metricsOf(one), { timeout: 5_000 }).toEqual(outages(1));
});

test('each line of the audit trail says which instance wrote it, and which of its workers', async () => {
  const file = `${await auditFolder()}/audit.jsonl`;
  const fleet = fleetOf();
  const alone = await fleet.start('a "name" — é', configOf([audit({ sink: { file } })]));
  await alone.stop();
  expect(linesIn(file).map(({ instance, worker }) => [instance, worker])).toEqual([
    ['a "name" — é', undefined],
    ['a "name" — é', undefined],
  ]);
  const { links, close } = linkWorkers(2, undefined, { member: await fleet.join('b') });
  onTestFinished(close);
  const hosted = await host([audit({ sink: { file } })], '/', new Map(), links[1]);
  await hosted.stop();
  const lines = linesIn(file.replace('.jsonl', '.w2.jsonl'));
  expect(lines.map(({ instance, worker }) => [instance, worker])).toEqual([
    ['b', 2],
    ['b', 2],
  ]);
});

test('without a fleet no line names an instance', async () => {
  const file = `${await auditFolder()}/audit.jsonl`;
  const hosted = await host([audit({ sink: { file } })], '/', new Map(), new SingleProcess());
  await hosted.stop();
  for (const line of linesIn(file)) expect(line).not.toHaveProperty('instance');
});

test('log records of the audit trail have the name of the instance', async () => {
  const requests: string[] = [];
  const collector = createServer((request, response) => {
    request.setEncoding('utf8').on('data', (text: string) => requests.push(text));
    request.on('end', () => response.end('{}'));
  }).listen(0, '127.0.0.1');
  onTestFinished(() => void collector.close());
  await new Promise((resolve) => collector.once('listening', resolve));
  const { port } = collector.address() as AddressInfo;
  const sink = new OtlpSink(
    { url: `http://127.0.0.1:${port}/v1/logs`, headers: () => ({}) },
    { instance: 'a' },
  );
  await sink.write(
    new Chain({ n: 0, hash: NOTHING_BEFORE }, undefined).seal(['"time":"2026","type":"login"']),
  );
  await sink.close();
  expect(requests.join('')).toContain(
    '"attributes":[{"key":"postern.instance","value":{"stringValue":"a"}}]',
  );
});

test('a long name of an instance stands whole in each line', () => {
  const tail = `,"instance":"${'é'.repeat(5_000)}"`;
  const chain = new Chain({ n: 0, hash: NOTHING_BEFORE }, undefined, tail);
  const lines = chain.seal(['"time":"x"', '"time":"y"']).bytes.toString().trimEnd().split('\n');
  for (const [at, line] of lines.entries()) {
    expect(unseal(line)?.n).toBe(at + 1);
    expect(line).toContain(tail);
  }
});

test('SHOW LISTS counts the instances', () => {
  const read = { sessions: [], servers: [], arriving: [], pools: [], entries: [] };
  const peersOf = (fleet: object | undefined): unknown =>
    showLists(read, { fleet: fleet as never }).rows.find((row) => row.includes('peers'));
  expect(peersOf({ instances: [{}, {}] })).toEqual(['peers', 2]);
  expect(peersOf(undefined)).toEqual(['peers', 0]);
});
