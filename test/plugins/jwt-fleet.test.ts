/** Tokens taken back in a fleet: at one instance, in force at all, with a proof; and what a cut-off instance does meanwhile. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Revocation, RevocationStore } from '../../plugins/jwt/index.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { issuer } from '../support/token.ts';
import { fleetOf } from './fleet.ts';
import type { FleetInstanceInTest } from './fleet.ts';
import { json, keyIssuer } from './key-issuer.ts';
import { configFor, errorOf, foreign, session, tokenGateway, tokens } from './token-sessions.ts';

interface Answer {
  readonly status: number;
  readonly body: unknown;
}

async function ask(
  { adminPort }: RunningGateway,
  method: string,
  path: string,
  body?: unknown,
): Promise<Answer> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
    method,
    headers: { authorization: `Bearer ${tokens.sign({ sub: 'olga', operator: 'yes' })}` },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? undefined : (JSON.parse(text) as unknown) };
}

const revoke = (gateway: RunningGateway, what: unknown, query = '') =>
  ask(gateway, 'POST', `/v1/revocations${query}`, what);
const takeBack = (gateway: RunningGateway, { body }: Answer) =>
  ask(gateway, 'DELETE', `/v1/revocations?id=${(body as Revocation).id}`);
const listed = async (gateway: RunningGateway): Promise<readonly unknown[]> =>
  (
    (await ask(gateway, 'GET', '/v1/revocations')).body as { revocations: readonly Revocation[] }
  ).revocations.map(({ what }) => what);

const readyz = async ({ adminPort }: RunningGateway): Promise<number> =>
  (await fetch(`http://127.0.0.1:${adminPort}/readyz`)).status;

/** What a login comes to: `in`, or its SQLSTATE. */
async function login(gateway: RunningGateway, claims: Readonly<Record<string, unknown>>): Promise<string> {
  try {
    await (await session(gateway, tokens.sign(claims))).client.end();
    return 'in';
  } catch (error) {
    return (error as { code?: string }).code ?? 'lost';
  }
}

const patient = { timeout: 20_000 };
const STALE = { staleMs: 300 };

async function goneStale(gateway: FleetInstanceInTest): Promise<void> {
  await gateway.cut();
  await expect.poll(() => gateway.member.state.isStale, patient).toBe(true);
}

async function file(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'postern-revocations-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return join(made, 'kept', 'r.jsonl');
}

describe('a revocation at one instance', () => {
  test('ends the sessions of all, is in force at all, and says how many it has ended', async () => {
    const { start } = fleetOf();
    const [one, two, three] = await Promise.all(['a', 'b', 'c'].map((name) => start(name, configFor())));
    const sessions = await Promise.all(
      [one, two, two, three].map((each) => session(each!, tokens.sign({ jti: 'gone' }))),
    );
    const other = await session(two!, tokens.sign({ jti: 'stays' }));
    const answer = await revoke(one!, { tokenId: 'gone' }, '?wait=fleet');
    expect(answer.status).toBe(201);
    expect(answer.body).toMatchObject({ sessions: 4, fleet: { live: 3, missing: [] } });
    for (const { ended } of sessions) expect((await ended)?.code).toBe('57P01');
    for (const each of [one, two, three]) expect(await login(each!, { jti: 'gone' })).toBe('28P01');
    await other.client.query('select 1');
    expect((await revoke(one!, { tokenId: 'nobody' })).body).not.toHaveProperty('fleet');
  });

  test('is in force at one that starts later, unless it was taken back, at whichever instance', async () => {
    const { start } = fleetOf();
    const [one, two] = [await start('a', configFor()), await start('b', configFor())];
    await revoke(one, { tokenId: 'gone' });
    const back = await revoke(one, { issuer: tokens.issuer, subject: 'bob' }, '?wait=fleet');
    expect((await takeBack(two, back)).status).toBe(204);
    await one.stop();
    const later = await start('c', configFor());
    for (const each of [two, later]) {
      expect(await login(each, { jti: 'gone' })).toBe('28P01');
      expect(await login(each, { sub: 'bob' })).toBe('in');
    }
  });

  test.each(['keeps', 'loses'])(
    'reaches one that was cut off, which is named meanwhile, and so does what was taken back (the store %s what it has)',
    async (how) => {
      const { start, store } = fleetOf();
      const [one, two] = [await start('a', configFor()), await start('b', configFor())];
      const back = await revoke(one, { tokenId: 'back' }, '?wait=fleet');
      const here = await session(two, tokens.sign({ jti: 'gone' }));
      await two.cut();
      const answer = await revoke(one, { tokenId: 'gone' }, '?wait=fleet');
      expect([answer.status, answer.body]).toEqual([
        202,
        expect.objectContaining({ sessions: 0, fleet: { live: 2, missing: ['b'] } }),
      ]);
      await takeBack(one, back);
      await here.client.query('select 1');
      if (how === 'loses') store.flush();
      two.heal();
      expect((await here.ended)?.code).toBe('57P01');
      expect(await login(two, { jti: 'gone' })).toBe('28P01');
      // What a store has lost comes again from whichever instance is first: the later change follows.
      await expect.poll(() => login(two, { jti: 'back' }), { timeout: 30_000 }).toBe('in');
    },
  );

  test('at one that is cut off is in force there at once, and everywhere once it is back', async () => {
    const { start } = fleetOf();
    const [one, two] = [await start('a', configFor()), await start('b', configFor())];
    await one.cut();
    expect((await revoke(one, { tokenId: 'gone' })).status).toBe(201);
    expect(await login(one, { jti: 'gone' })).toBe('28P01');
    expect(await login(two, { jti: 'gone' })).toBe('in');
    one.heal();
    await expect.poll(() => login(two, { jti: 'gone' }), patient).toBe('28P01');
  });
});

describe('wait', () => {
  test.each([
    ['?wait=all', /'fleet' or absent/],
    ['?wait=fleet', /in no fleet/],
  ])('%s is refused by a gateway in no fleet, and nothing is done', async (query, why) => {
    const gateway = await tokenGateway();
    expect(await revoke(gateway, { tokenId: 'x' }, query)).toEqual({
      status: 400,
      body: { error: expect.stringMatching(why) as string },
    });
    expect((await ask(gateway, 'POST', `/v1/keys/purge${query}`, { issuer: tokens.issuer })).status).toBe(
      400,
    );
    expect(await listed(gateway)).toEqual([]);
  });
});

describe('with a file of its own each instance', () => {
  test('has in it what any has revoked, and hears at its start what was taken back meanwhile', async () => {
    const files = [await file(), await file()];
    const { start } = fleetOf();
    const config = (n: number) => configFor({ jwt: { revocations: { file: files[n] ?? '' } } });
    const [one, two] = [await start('a', config(0)), await start('b', config(1))];
    const back = await revoke(one, { tokenId: 'back' });
    await revoke(one, { tokenId: 'gone' });
    for (const name of files)
      await expect.poll(() => readFile(name, 'utf8'), patient).toMatch(/back.*\n.*gone/);
    await two.stop();
    await takeBack(one, back);
    const again = await start('b', config(1));
    expect(await login(again, { jti: 'back' })).toBe('in');
    expect(await login(again, { jti: 'gone' })).toBe('28P01');
    await expect.poll(() => readFile(files[1] ?? '', 'utf8'), patient).toMatch(/removed/);
  });

  test('tells the fleet what it has from before', async () => {
    const name = await file();
    const config = configFor({ jwt: { revocations: { file: name } } });
    const before = await fleetOf().start('a', config);
    await revoke(before, { tokenId: 'gone' });
    await before.stop();
    const { start } = fleetOf();
    const two = await start('b', configFor());
    await start('a', configFor({ jwt: { revocations: { file: name } } }));
    await expect.poll(() => login(two, { jti: 'gone' }), patient).toBe('28P01');
  });
});

test('a store of the config has all of the fleet, and a late word of it takes nothing back', async () => {
  const all = new Map<string, Revocation>();
  let hear: (change: { readonly removed: string }) => void = () => {};
  const store: RevocationStore = {
    load: () => Promise.resolve([...all.values()]),
    add: (revocation) => Promise.resolve(void all.set(revocation.id, revocation)),
    remove: (id) => Promise.resolve(void all.delete(id)),
    watch(heard) {
      hear = heard;
      return () => {};
    },
  };
  const { start } = fleetOf();
  const [one, two] = [
    await start('a', configFor()),
    await start('b', configFor({ jwt: { revocations: { store } } })),
  ];
  const { body } = await revoke(one, { tokenId: 'gone' });
  const { id } = body as Revocation;
  await expect.poll(() => [...all.keys()], patient).toEqual([id]);
  hear({ removed: id });
  expect(await login(two, { jti: 'gone' })).toBe('28P01');
  await takeBack(one, { status: 201, body });
  await expect.poll(() => all.size, patient).toBe(0);
});

describe('while the store has been away for long', () => {
  const good = { jti: 'good' };

  test("'refuse' lets nobody in by a token, renews nothing, and sessions go on", async () => {
    const gateway = await fleetOf(STALE).start('a', configFor());
    const open = await session(gateway, tokens.sign(good));
    await goneStale(gateway);
    expect(await errorOf(session(gateway, tokens.sign(good)))).toMatchObject({
      code: '57P03',
      message: 'tokens cannot be verified at the moment',
    });
    expect(gateway.lines('login refused').at(-1)?.['reason']).toMatch(
      /the store of the fleet has not answered since 2/,
    );
    const renewal = errorOf(open.client.query(`SET postern.token = '${tokens.sign()}'`));
    expect((await renewal).code).toBe('57P03');
    expect((await open.client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    // A token that is not good is told so, and operators can look and revoke.
    expect(await login(gateway, { aud: 'other' })).toBe('28P01');
    expect((await revoke(gateway, { tokenId: 'good' })).body).toMatchObject({ sessions: 1 });
    gateway.heal();
    await expect.poll(() => login(gateway, { jti: 'other' }), patient).toBe('in');
  });

  test("'end' ends the sessions as well", async () => {
    const gateway = await fleetOf({ ...STALE, revocations: 'end' }).start('a', configFor());
    const open = await session(gateway, tokens.sign(good));
    await goneStale(gateway);
    expect(await open.ended).toMatchObject({
      code: '57P01',
      message: 'it cannot be found out whether the token has been revoked',
    });
    expect(await login(gateway, good)).toBe('57P03');
    expect(gateway.lines('sessions by tokens end')[0]).toMatchObject({ sessions: 1 });
  });

  test("'goOn' goes on with those that are known", async () => {
    const gateway = await fleetOf({ ...STALE, revocations: 'goOn' }).start('a', configFor());
    await revoke(gateway, { tokenId: 'gone' });
    await goneStale(gateway);
    expect(await login(gateway, good)).toBe('in');
    expect(await login(gateway, { jti: 'gone' })).toBe('28P01');
  });

  test.each([
    ['refuse', 503],
    ['goOn', 200],
  ] as const)(
    "with '%s' /readyz answers %i, so that clients go where there is news",
    async (away, status) => {
      const gateway = await fleetOf({ ...STALE, revocations: away }).start('a', configFor());
      await goneStale(gateway);
      expect(await readyz(gateway)).toBe(status);
      gateway.heal();
      await expect.poll(() => readyz(gateway), patient).toBe(200);
    },
  );
});

describe('a purge of keys at one instance', () => {
  const stolen = issuer({ algorithms: ['ES256'], issuer: 'https://stolen.example' });
  const replaced = issuer({ algorithms: ['ES256'], issuer: 'https://stolen.example', generation: '2' });
  const purge = (gateway: RunningGateway, query = '') =>
    ask(gateway, 'POST', `/v1/keys/purge${query}`, { issuer: stolen.issuer });
  const refused = async (gateway: RunningGateway) => (await errorOf(session(gateway, stolen.sign()))).code;

  test('drops them at all, with the tokens that they have verified, and each fetches the new ones', async () => {
    const keys = await keyIssuer(json(stolen.jwks));
    const issuers = [tokens.options, foreign.options, { ...stolen.options, jwks: keys.url }];
    const { start } = fleetOf();
    const [one, two] = [
      await start('a', configFor({ jwt: { issuers } })),
      await start('b', configFor({ jwt: { issuers } })),
    ];
    const token = stolen.sign();
    for (const each of [one, two]) await session(each, token);
    keys.answer(json(replaced.jwks));
    expect(await purge(one, '?wait=fleet')).toEqual({
      status: 200,
      body: { issuer: stolen.issuer, fleet: { live: 2, missing: [] } },
    });
    for (const each of [one, two]) {
      await expect.poll(() => refused(each), patient).toBe('28P01');
      await session(each, replaced.sign());
    }
    expect(keys.requests()).toBe(4);
  });

  test('reaches one that was cut off when it is back', async () => {
    const keys = await keyIssuer(json(stolen.jwks));
    const issuers = [tokens.options, { ...stolen.options, jwks: keys.url }];
    const { start } = fleetOf();
    const [one, two] = [
      await start('a', configFor({ jwt: { issuers } })),
      await start('b', configFor({ jwt: { issuers } })),
    ];
    await session(two, stolen.sign());
    await two.cut();
    keys.answer(json(replaced.jwks));
    await purge(one);
    await session(two, stolen.sign());
    two.heal();
    await expect.poll(() => refused(two), patient).toBe('28P01');
  });

  test('has one that starts later not use what it kept on disk before', async () => {
    const cache = await mkdtemp(join(tmpdir(), 'postern-keys-'));
    onTestFinished(() => rm(cache, { recursive: true, force: true }));
    const keys = await keyIssuer(json(stolen.jwks));
    const issuers = [tokens.options, { ...stolen.options, jwks: keys.url }];
    const { start } = fleetOf();
    const config = () => configFor({ jwt: { issuers, cache: join(cache, 'keys') } });
    const before = await start('b', config());
    await session(before, stolen.sign());
    await vi.waitFor(() => expect(before.lines('key set loaded').length).toBeGreaterThan(0));
    await before.stop();
    const one = await start('a', configFor({ jwt: { issuers } }));
    keys.answer((response) => response.writeHead(503).end());
    await purge(one);
    const later = await start('b', config());
    expect(await refused(later)).toBe('57P03');
    expect(later.lines('kept key set not used')[0]).toMatchObject({ reason: 'dropped by an operator since' });
  });
});
