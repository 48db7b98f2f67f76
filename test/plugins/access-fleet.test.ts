/** Access on demand in a fleet: what one instance grants, the others know, and one of them turns the keys. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startWorker } from '../support/gateway.ts';
import { linkInstances } from '../support/linked-instances.ts';
import type { LinkedInstances } from '../support/linked-instances.ts';
import { deskConfig, deskOf, developer, operator } from './access-desk.ts';
import type { Desk, DeskOptions } from './access-desk.ts';

const WANTED = { database: 'orders', role: 'reader', reason: 'to look' };
const UNDER = { 'idempotency-key': 'one' };

interface Fleet {
  readonly linked: LinkedInstances;
  readonly start: (name: string, options?: DeskOptions) => Promise<Desk>;
}

function fleetOf(usual: DeskOptions = {}): Fleet {
  const linked = linkInstances();
  onTestFinished(() => linked.close());
  const start: Fleet['start'] = async (name, options = usual) => {
    const running = await startWorker(deskConfig(options), linked.join(name));
    onTestFinished(() => running.gateway.stop());
    return deskOf(running);
  };
  return { linked, start };
}

const keysOf = async (desk: Desk): Promise<string> => (await desk.send('GET', '/.well-known/jwks.json')).text;

const sessionsOf = async (desk: Desk, id: unknown): Promise<unknown> =>
  (await desk.send('GET', `/v1/grants/${String(id)}`, developer())).body['sessions'];

test('instances that start at once have the same signing keys, and each takes the tokens of the others', async () => {
  const { start } = fleetOf();
  const [one, two] = await Promise.all([start('a'), start('b')]);
  expect(await keysOf(one)).toBe(await keysOf(two));
  const { body } = await one.ask(developer(), WANTED);
  await two.login(body['token']);
  expect(await sessionsOf(one, body['id'])).toBe(1);
  await one.login(body['token']);
  for (const desk of [one, two]) expect(await sessionsOf(desk, body['id'])).toBe(2);
});

test('a request under one key is done once, whichever instance is asked, also where it is asked at once', async () => {
  const { start } = fleetOf();
  const [one, two] = await Promise.all([start('a'), start('b')]);
  const first = await one.ask(developer(), WANTED, UNDER);
  expect(first.status).toBe(201);
  expect((await two.ask(developer(), WANTED, UNDER)).body).toEqual(first.body);
  expect((await two.ask(developer(), { ...WANTED, role: 'writer' }, UNDER)).status).toBe(422);
  const both = { 'idempotency-key': 'two' };
  const answers = await Promise.all([one, two].map((desk) => desk.ask(developer(), WANTED, both)));
  const ids = new Set(answers.filter(({ status }) => status === 201).map(({ body }) => body['id']));
  expect(ids.size).toBe(1);
  for (const { status } of answers) expect([201, 409]).toContain(status);
  expect((await two.send('GET', '/v1/grants', operator())).body['grants']).toHaveLength(2);
});

test('one instance turns the keys, and the others have its ring', async () => {
  const { start } = fleetOf({ issuer: { rotate: '3s', publishAhead: '1s' } });
  const desks = await Promise.all([start('a'), start('b'), start('c')]);
  const first = await keysOf(desks[0]);
  await expect.poll(() => keysOf(desks[0]), { timeout: 20_000 }).not.toBe(first);
  await expect
    .poll(async () => new Set(await Promise.all(desks.map(keysOf))).size, { timeout: 5_000 })
    .toBe(1);
  const turned = desks.flatMap((desk) => desk.lines('signing keys turned')).map((line) => line['keys']);
  expect(new Set(turned.map((keys) => JSON.stringify(keys))).size).toBe(turned.length);
});

test('each instance keeps the keys of the fleet in its own file, and starts with them while the store is away', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-keys-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const fileOf = (name: string): DeskOptions => ({ issuer: { keys: join(folder, `${name}.json`) } });
  const { linked, start } = fleetOf();
  const [one, two] = [await start('a', fileOf('a')), await start('b', fileOf('b'))];
  const written = (name: string): Promise<string> => readFile(join(folder, `${name}.json`), 'utf8');
  await expect.poll(() => written('b').catch(() => '')).toBe(await written('a'));
  const { body } = await one.ask(developer(), WANTED);
  linked.away();
  const late = await start('c', fileOf('b'));
  expect(await keysOf(late)).toBe(await keysOf(two));
  await late.login(body['token']);
  expect(late.lines('signing keys not shared with the fleet yet')).toHaveLength(1);
});

test('without keys and without the store an instance starts, grants nothing, and has the keys once the store is back', async () => {
  const { linked, start } = fleetOf();
  const one = await start('a');
  linked.away();
  const late = await start('b');
  expect(await keysOf(late)).toBe('{"keys":[]}');
  expect((await late.ask(developer(), WANTED)).status).toBe(503);
  expect((await late.ask(developer(), WANTED, UNDER)).status).toBe(503);
  linked.back();
  expect(await keysOf(late)).toBe(await keysOf(one));
  const { body, status } = await late.ask(developer(), WANTED);
  expect(status).toBe(201);
  await one.login(body['token']);
});

test('where no instance has had keys and the store comes back empty, one of them makes them', async () => {
  const { linked, start } = fleetOf();
  linked.away();
  const [one, two] = await Promise.all([start('a'), start('b')]);
  for (const desk of [one, two])
    await expect.poll(() => desk.lines('signing keys not turned').length).toBeGreaterThan(0);
  linked.back();
  await expect.poll(() => keysOf(one), { timeout: 20_000 }).not.toBe('{"keys":[]}');
  await expect.poll(async () => (await keysOf(one)) === (await keysOf(two))).toBe(true);
});

test('while the store is away a grant is made and revoked where it was asked, and the others know it later', async () => {
  const { linked, start } = fleetOf();
  const [one, two] = await Promise.all([start('a'), start('b')]);
  linked.away();
  const { body, status } = await one.ask(developer(), WANTED);
  expect(status).toBe(201);
  const path = `/v1/grants/${String(body['id'])}`;
  expect((await two.send('GET', path, developer())).status).toBe(404);
  expect((await one.send('DELETE', path, developer())).status).toBe(200);
  linked.back();
  expect((await two.send('GET', path, developer())).body).toHaveProperty('revokedAt');
});
