/** Access on demand in a gateway of several workers: keys, grants and what was answered are the same in all, and outlive each. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { company, deskConfig, deskOf } from './access-desk.ts';
import type { Desk, DeskOptions } from './access-desk.ts';
import { workersOf } from './workers.ts';
import type { Workers } from './workers.ts';

const developer = (): string => company.sign({ groups: ['dev'] });
const WANTED = { database: 'orders', role: 'reader', reason: 'to look' };

interface Desks extends Pick<Workers, 'kill'> {
  readonly start: (worker: number) => Promise<Desk>;
}

function desks(options?: DeskOptions): Desks {
  const { start, ...rest } = workersOf(2, () => deskConfig(options));
  return { ...rest, start: async (worker) => deskOf(await start(worker)) };
}

const keysOf = async (desk: Desk): Promise<string> => (await desk.send('GET', '/.well-known/jwks.json')).text;

test('workers that start at once have the same signing keys, and each takes the tokens of the others', async () => {
  const { start } = desks();
  const [one, two] = await Promise.all([start(1), start(2)]);
  expect(await keysOf(one)).toBe(await keysOf(two));
  const { body } = await one.ask(developer(), WANTED);
  await two.login(body['token']);
});

test('with a file all have its keys, and what one makes is in it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-keys-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const keys = join(folder, 'keys.json');
  const before = desks({ issuer: { keys } });
  const [one, two] = await Promise.all([before.start(1), before.start(2)]);
  const published = await keysOf(one);
  expect(await keysOf(two)).toBe(published);
  const { body } = await one.ask(developer(), WANTED);
  const written = (
    JSON.parse(await readFile(keys, 'utf8')) as { keys: { kid: string; key: { d: string } }[] }
  ).keys;
  expect(published).toContain(written[0]?.kid);
  for (const desk of [one, two]) expect(desk.text()).not.toContain(written[0]?.key.d);
  await Promise.all([before.kill(1), before.kill(2)]);
  const after = await desks({ issuer: { keys } }).start(1);
  expect(await keysOf(after)).toBe(published);
  await after.login(body['token']);
});

test('keys turn in one worker, and all have the new ones', async () => {
  const { start, kill } = desks({ issuer: { rotate: '2s', publishAhead: '1s' } });
  const [one, two] = await Promise.all([start(1), start(2)]);
  const first = await keysOf(one);
  await expect.poll(() => keysOf(one)).not.toBe(first);
  await kill(1);
  const second = await keysOf(two);
  expect(second).not.toBe(first);
  // The next lead turns them.
  await expect.poll(() => keysOf(two)).not.toBe(second);
}, 60_000);

test('the worker that answers after a dead one knows its grants, what it has answered and how often it was asked', async () => {
  const { start, kill } = desks({ access: { rate: '3/h' } });
  const [one, two] = await Promise.all([start(1), start(2)]);
  const under = { 'idempotency-key': 'k' };
  const first = await one.ask(developer(), WANTED, under);
  expect(first.status).toBe(201);
  expect((await one.ask(developer(), WANTED, under)).text).toBe(first.text);
  const path = `/v1/grants/${String(first.body['id'])}`;
  await kill(1);
  const successor = await start(1);
  for (const desk of [two, successor])
    expect((await desk.send('GET', path, developer())).body).toMatchObject({ role: 'reader' });
  expect((await two.ask(developer(), WANTED, under)).text).toBe(first.text);
  expect((await two.ask(developer(), WANTED)).status).toBe(429);
});

test('a grant that is given back ends the sessions of all workers, and each shows it', async () => {
  const { start } = desks();
  const [one, two] = await Promise.all([start(1), start(2)]);
  const { body } = await one.ask(developer(), WANTED);
  const clients = await Promise.all([one, two, two].map((desk) => desk.login(body['token'])));
  const ended = clients.map((client) => new Promise((resolve) => client.once('end', resolve)));
  const path = `/v1/grants/${String(body['id'])}`;
  expect((await one.send('GET', path, developer())).body).toMatchObject({ sessions: 3 });
  expect((await one.send('DELETE', path, developer())).body).toMatchObject({ ended: 3 });
  await Promise.all(ended);
  expect((await two.send('GET', path, developer())).body).toHaveProperty('revokedAt');
  await expect(two.login(body['token'])).rejects.toThrow(/authentication failed/);
});
