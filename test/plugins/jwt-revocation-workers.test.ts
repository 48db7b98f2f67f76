/** Tokens taken back in a gateway of several workers: in force in all of them before the answer, and in those that come later. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { fleetBoard } from '../../core/workers/coordination.ts';
import type { AnyPlugin, Revocations } from '../../core/index.ts';
import type { Revocation, RevocationStore, RevocationsOptions } from '../../plugins/jwt/index.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { configFor, errorOf, session, tokens } from './token-sessions.ts';
import { workersOf } from './workers.ts';
import type { Workers } from './workers.ts';

const operator = (): string => tokens.sign({ sub: 'olga', operator: 'yes' });

async function ask(
  { adminPort }: RunningGateway,
  method: string,
  body?: unknown,
  path = '/v1/revocations',
): Promise<{ readonly status: number; readonly body: unknown }> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
    method,
    headers: { authorization: `Bearer ${operator()}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
}

const revoke = (gateway: RunningGateway, what: unknown) => ask(gateway, 'POST', what);
const takeBack = async (gateway: RunningGateway, what: unknown) => {
  const { id } = (await revoke(gateway, what)).body as Revocation;
  return ask(gateway, 'DELETE', undefined, `/v1/revocations?id=${id}`);
};
const login = async (gateway: RunningGateway, jti: string): Promise<string | undefined> => {
  try {
    await (await session(gateway, tokens.sign({ jti }))).client.end();
    return 'in';
  } catch (error) {
    return (error as { code?: string }).code;
  }
};

function workers(
  count: number,
  revocations: RevocationsOptions = {},
  plugins: readonly AnyPlugin[] = [],
): Workers {
  return workersOf(count, () => configFor({ jwt: { revocations }, plugins }));
}

async function file(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'postern-revocations-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return join(made, 'kept', 'r.jsonl');
}

test('a revocation ends the sessions of all workers, is in force in all, and counts all, when it is answered', async () => {
  const { start } = workers(3);
  const [one, two, three] = await Promise.all([start(1), start(2), start(3)]);
  const [gone, stays] = [tokens.sign({ jti: 'gone' }), tokens.sign({ jti: 'stays' })];
  const sessions = await Promise.all([one, two, two, three].map((worker) => session(worker, gone)));
  const other = await session(two, stays);
  const { status, body } = await revoke(one, { tokenId: 'gone' });
  expect([status, body]).toEqual([201, expect.objectContaining({ sessions: 4 })]);
  expect(await Promise.all([one, two, three].map((worker) => login(worker, 'gone')))).toEqual(
    Array<string>(3).fill('28P01'),
  );
  for (const { ended } of sessions)
    expect(await ended).toMatchObject({ code: '57P01', message: 'the token has been revoked' });
  expect((await other.client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
});

test('a revocation may be given to any worker by a plugin, and be of a subject or of all before a date', async () => {
  const services: Revocations[] = [];
  const plugin: AnyPlugin = {
    name: 'reporter',
    setup(gateway) {
      const found = gateway.service('revocations');
      if (found) services[gateway.worker.number] = found;
    },
  };
  const { start } = workers(2, {}, [plugin]);
  const [one, two] = await Promise.all([start(1), start(2)]);
  const here = await session(one, tokens.sign());
  expect(await services[2]?.revoke({ issuer: tokens.issuer, subject: 'alice' })).toBe(1);
  expect((await here.ended)?.code).toBe('57P01');
  const old = await session(two, tokens.sign({ sub: 'bob', iat: undefined }));
  expect(await services[1]?.revoke({ issuer: tokens.issuer, before: new Date(Date.now() - 60_000) })).toBe(1);
  expect((await old.ended)?.code).toBe('57P01');
});

describe.each([
  ['without a file', () => Promise.resolve({})],
  ['with a file', async () => ({ file: await file() })],
] as const)('%s', (_, options) => {
  test('the successor of a dead worker has what is in force, and not what was taken back', async () => {
    const { start, kill } = workers(2, await options());
    const [one] = await Promise.all([start(1), start(2)]);
    await revoke(one, { tokenId: 'gone' });
    await takeBack(one, { tokenId: 'back' });
    await kill(2);
    const successor = await start(2);
    expect(await login(successor, 'gone')).toBe('28P01');
    expect(await login(successor, 'back')).toBe('in');
  });

  test('the worker that is the lead after a dead one goes on where that one was', async () => {
    const { start, kill } = workers(2, await options());
    const [one, two] = await Promise.all([start(1), start(2)]);
    await revoke(one, { tokenId: 'first' });
    await kill(1);
    expect((await revoke(two, { tokenId: 'second' })).status).toBe(201);
    expect((await takeBack(two, { tokenId: 'first' })).status).toBe(204);
    const successor = await start(1);
    expect(await Promise.all(['first', 'second'].map((jti) => login(successor, jti)))).toEqual([
      'in',
      '28P01',
    ]);
  });
});

test('each worker has those of the file before its first login, the lead alone writes it, and a restart has all', async () => {
  const options = { file: await file() };
  const before = workers(2, options);
  const [first] = await Promise.all([before.start(1), before.start(2)]);
  for (const tokenId of ['a', 'b']) expect((await revoke(first, { tokenId })).status).toBe(201);
  await takeBack(first, { tokenId: 'b' });
  const text = await readFile(options.file, 'utf8');
  await Promise.all([before.kill(1), before.kill(2)]);
  const after = workers(2, options);
  const two = await after.start(2);
  expect(await login(two, 'a')).toBe('28P01');
  expect(await login(two, 'b')).toBe('in');
  expect(text.split('\n').filter((line) => line.includes('"a"'))).toHaveLength(1);
});

test('what a dead lead had in force and not yet in the file is written by the next one', async () => {
  const options = { file: await file() };
  const { start, linked, kill } = workers(2, options);
  await Promise.all([start(1), start(2)]);
  await expect.poll(() => readFile(options.file, 'utf8').catch(() => undefined)).toBe('');
  const board = await linked.links[1]?.board(fleetBoard('jwt/revocations'));
  const until = Date.now() + 60_000;
  await board?.put('left', { id: 'left', what: { tokenId: 'left' }, at: Date.now(), until }, { until });
  await kill(1);
  await expect.poll(() => readFile(options.file, 'utf8')).toContain('left');
  await expect.poll(() => board?.all().size).toBe(0);
});

test('the limit is that of the gateway', async () => {
  const { start } = workers(2, { limit: 2 });
  const [one, two] = await Promise.all([start(1), start(2)]);
  const answers = await Promise.all(['a', 'b', 'c'].map((tokenId) => revoke(one, { tokenId })));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 201, 507]);
  expect((await revoke(two, { tokenId: 'd' })).status).toBe(507);
});

test('a store that gateways share is told once of each, and no worker forgets what it could not keep', async () => {
  const calls: string[] = [];
  let down = false;
  const store: RevocationStore = {
    load: () => Promise.resolve([]),
    add: ({ what }) => {
      calls.push(`add ${JSON.stringify(what)}`);
      return down ? Promise.reject(new Error('down')) : Promise.resolve();
    },
    remove: () => Promise.resolve(void calls.push('remove')),
  };
  const { start, kill } = workers(2, { store });
  const [one] = await Promise.all([start(1), start(2)]);
  await revoke(one, { tokenId: 'x' });
  await takeBack(one, { tokenId: 'y' });
  expect(calls).toEqual(['add {"tokenId":"x"}', 'add {"tokenId":"y"}', 'remove']);
  down = true;
  expect((await revoke(one, { tokenId: 'lost' })).status).toBe(503);
  await kill(2);
  const successor = await start(2);
  expect((await errorOf(session(successor, tokens.sign({ jti: 'lost' })))).code).toBe('28P01');
});
