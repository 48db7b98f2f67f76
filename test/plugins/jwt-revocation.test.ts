/** Tokens taken back: live sessions end, nothing opens any more, and neither a reload nor a restart forgets it. */
import { appendFile, chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { AnyPlugin, Revocations } from '../../core/index.ts';
import type { Revocation, RevocationChange, RevocationStore } from '../../plugins/jwt/index.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { now } from '../support/token.ts';
import { configFor, errorOf, foreign, session, tokenGateway, tokens } from './token-sessions.ts';

const operator = (): string => tokens.sign({ sub: 'olga', operator: 'yes' });

/** A request of an operator. */
async function ask(
  { adminPort }: RunningGateway,
  method: string,
  body?: unknown,
  { path = '/v1/revocations', token = operator() } = {},
): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}` },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await answer.text();
  return { status: answer.status, body: text.startsWith('{') ? (JSON.parse(text) as unknown) : text };
}

const revoke = (gateway: RunningGateway, what: unknown) => ask(gateway, 'POST', what);
const listed = async (gateway: RunningGateway): Promise<readonly Revocation[]> =>
  ((await ask(gateway, 'GET')).body as { revocations: readonly Revocation[] }).revocations;

const refusedLogin = async (gateway: RunningGateway, token: string) =>
  (await errorOf(session(gateway, token))).code;

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'postern-revocations-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

describe.each(['session', 'transaction'] as const)('in %s mode', (mode) => {
  test('a revoked token ends its session, whatever that does, and no other', async () => {
    const gateway = await tokenGateway({ mode });
    const [gone, stays] = [tokens.sign({ jti: 'gone' }), tokens.sign({ jti: 'stays' })];
    const [idle, open, busy, other] = await Promise.all(
      [gone, gone, gone, stays].map((token) => session(gateway, token)),
    );
    await open?.client.query('begin');
    const running = errorOf(busy?.client.query('select pg_sleep(60)') ?? Promise.resolve());
    const { status, body } = await revoke(gateway, { tokenId: 'gone' });
    expect([status, body]).toEqual([
      201,
      expect.objectContaining({ sessions: 3, what: { tokenId: 'gone' } }),
    ]);
    for (const one of [idle, open]) {
      expect(await one?.ended).toMatchObject({ code: '57P01', message: 'the token has been revoked' });
    }
    expect((await running).code).toBe('57P01');
    expect((await other?.client.query('select 1 as n'))?.rows).toEqual([{ n: 1 }]);
    expect(await refusedLogin(gateway, gone)).toBe('28P01');
    expect(
      (await errorOf(other?.client.query(`SET postern.token = '${gone}'`) ?? Promise.resolve())).code,
    ).toBe('28P01');
    expect((await other?.client.query('select 2 as n'))?.rows).toEqual([{ n: 2 }]);
  });
});

describe('what is revoked', () => {
  test('may be a subject: all its tokens, also those to come, and nobody with that name elsewhere', async () => {
    const gateway = await tokenGateway();
    const [alice, bob, elsewhere] = await Promise.all([
      session(gateway, tokens.sign()),
      session(gateway, tokens.sign({ sub: 'bob' })),
      session(gateway, foreign.sign()),
    ]);
    await revoke(gateway, { issuer: tokens.issuer, subject: 'alice' });
    expect((await alice.ended)?.code).toBe('57P01');
    await Promise.all([bob, elsewhere].map(({ client }) => client.query('select 1')));
    expect(await refusedLogin(gateway, tokens.sign({ jti: 'new' }))).toBe('28P01');
    await session(gateway, foreign.sign());
  });

  test('may be what an issuer issued before a date, and tokens that do not say when', async () => {
    const gateway = await tokenGateway();
    const old = { iat: now() - 100 };
    const [before, silent, after, elsewhere] = await Promise.all([
      session(gateway, tokens.sign(old)),
      session(gateway, tokens.sign({ iat: undefined })),
      session(gateway, tokens.sign()),
      session(gateway, foreign.sign(old)),
    ]);
    const date = new Date((now() - 50) * 1_000).toISOString();
    expect((await revoke(gateway, { issuer: tokens.issuer, before: date })).body).toMatchObject({
      sessions: 2,
    });
    for (const { ended } of [before, silent]) expect((await ended)?.code).toBe('57P01');
    await Promise.all([after, elsewhere].map(({ client }) => client.query('select 1')));
    expect(await refusedLogin(gateway, tokens.sign(old))).toBe('28P01');
    await session(gateway, tokens.sign());
  });

  test('may be one issuer’s token id, and not another’s', async () => {
    const gateway = await tokenGateway();
    await revoke(gateway, { tokenId: 'x', issuer: tokens.issuer });
    expect(await refusedLogin(gateway, tokens.sign({ jti: 'x' }))).toBe('28P01');
    await session(gateway, foreign.sign({ jti: 'x' }));
  });

  test.each([
    ['nothing', {}],
    ['null', null],
    ['a list', []],
    ['no JSON', '{"tokenId":'],
    ['a number', { tokenId: 7 }],
    ['an empty text', { tokenId: '' }],
    ['a text without end', { tokenId: 'x'.repeat(600) }],
    ['more than a megabyte', { tokenId: 'x'.repeat(1_100_000) }],
    ['a subject of nobody', { subject: 'alice' }],
    ['an unknown issuer', { issuer: 'https://unknown.example', subject: 'alice' }],
    ['a whole issuer', { issuer: tokens.issuer }],
    ['no date', { issuer: tokens.issuer, before: 'yesterday' }],
    ['what is not understood', { tokenId: 'x', subject: 'alice' }],
  ])('cannot be %s', async (_name, what) => {
    const gateway = await tokenGateway();
    const { status, body } = await revoke(gateway, what);
    expect([status, Object.keys(body as object)]).toEqual([400, ['error']]);
    expect(await listed(gateway)).toEqual([]);
  });
});

describe('the HTTP routes', () => {
  test('are for operators, and not for a token that is revoked', async () => {
    const gateway = await tokenGateway();
    const what = { tokenId: 'x' };
    for (const path of ['/v1/revocations', '/v1/keys/purge']) {
      expect((await ask(gateway, 'POST', what, { path, token: tokens.sign() })).status).toBe(403);
      expect((await ask(gateway, 'POST', what, { path, token: 'x.y.z' })).status).toBe(401);
      expect((await ask(gateway, 'PUT', what, { path })).status).toBe(405);
    }
    expect(await listed(gateway)).toEqual([]);
    const revoked = tokens.sign({ operator: 'yes', jti: 'stolen' });
    expect((await ask(gateway, 'GET', undefined, { token: revoked })).status).toBe(200);
    await revoke(gateway, { tokenId: 'stolen' });
    expect((await ask(gateway, 'GET', undefined, { token: revoked })).status).toBe(401);
  });

  test('list, take back, and say who did it', async () => {
    const gateway = await tokenGateway();
    await revoke(gateway, { tokenId: 'x' });
    await revoke(gateway, { tokenId: 'x' });
    const [only, ...others] = await listed(gateway);
    expect([only?.what, others]).toEqual([{ tokenId: 'x' }, []]);
    const path = `/v1/revocations?id=${only?.id}`;
    expect((await ask(gateway, 'DELETE', undefined, { path })).status).toBe(204);
    expect((await ask(gateway, 'DELETE', undefined, { path })).status).toBe(404);
    await session(gateway, tokens.sign({ jti: 'x' }));
    const by = { issuer: tokens.issuer, subject: 'olga' };
    expect(gateway.lines('tokens revoked')[0]).toMatchObject({ by, what: { tokenId: 'x' } });
    expect(gateway.lines('revocation taken back')[0]).toMatchObject({ by });
  });

  test('take no more than the limit, and forget none for a new one', async () => {
    const gateway = await tokenGateway({ jwt: { revocations: { limit: 2 } } });
    for (const tokenId of ['a', 'b']) expect((await revoke(gateway, { tokenId })).status).toBe(201);
    expect((await revoke(gateway, { tokenId: 'c' })).status).toBe(507);
    expect((await listed(gateway)).map(({ what }) => what)).toEqual([{ tokenId: 'a' }, { tokenId: 'b' }]);
  });
});

test('plugins revoke by the service', async () => {
  let service: Revocations | undefined;
  const plugin: AnyPlugin = {
    name: 'reporter',
    setup(gateway) {
      service = gateway.service('revocations');
    },
  };
  const gateway = await tokenGateway({ plugins: [plugin] });
  const { ended } = await session(gateway, tokens.sign({ jti: 'x' }));
  expect(await service?.revoke({ tokenId: 'x' })).toBe(1);
  expect((await ended)?.code).toBe('57P01');
  expect((await errorOf(service?.revoke({ tokenId: '' }) ?? Promise.resolve())).message).toMatch(/tokenId/);
});

test('a token that is revoked while a plugin looks at it opens nothing, and renews nothing', async () => {
  let service: Revocations | undefined;
  let slow = 0;
  const plugin: AnyPlugin = {
    name: 'slow',
    setup(gateway) {
      service = gateway.service('revocations');
    },
    checks: {
      async identity({ tokenId }) {
        if (tokenId !== 'x') return;
        slow += 1;
        await service?.revoke({ tokenId });
      },
    },
  };
  const gateway = await tokenGateway({ plugins: [plugin] });
  const { client, ended } = await session(gateway, tokens.sign());
  const said = await errorOf(client.query(`SET postern.token = '${tokens.sign({ jti: 'x' })}'`));
  expect(said.message).toBe('the token has been revoked');
  await ended;
  await ask(gateway, 'DELETE', undefined, { path: `/v1/revocations?id=${(await listed(gateway))[0]?.id}` });
  expect((await errorOf(session(gateway, tokens.sign({ jti: 'x' })))).message).toBeDefined();
  expect(slow).toBe(2);
});

describe('a revocation outlives', () => {
  test('a reload, which keeps the file as well', async () => {
    const directory = await folder();
    for (const revocations of [{}, { file: join(directory, 'r.jsonl') }]) {
      const setting = { jwt: { revocations } };
      const gateway = await tokenGateway(setting);
      await revoke(gateway, { tokenId: 'x' });
      const old = await session(gateway, tokens.sign({ jti: 'y' }));
      await gateway.gateway.reload(checkConfig({ listen: { port: 0 }, ...configFor(setting) }, tmpdir()));
      expect(await refusedLogin(gateway, tokens.sign({ jti: 'x' }))).toBe('28P01');
      // A session that came before the reload.
      await revoke(gateway, { tokenId: 'y' });
      expect((await old.ended)?.code).toBe('57P01');
    }
  });

  test('a reload that would keep it elsewhere: that is refused', async () => {
    const gateway = await tokenGateway();
    await revoke(gateway, { tokenId: 'x' });
    const setting = { jwt: { revocations: { file: join(await folder(), 'r.jsonl') } } };
    const reloaded = gateway.gateway.reload(
      checkConfig({ listen: { port: 0 }, ...configFor(setting) }, tmpdir()),
    );
    await expect(reloaded).rejects.toThrow('jwt.revocations: a change needs a restart');
    expect(await refusedLogin(gateway, tokens.sign({ jti: 'x' }))).toBe('28P01');
  });

  const restarted = async (file: string, more: object = {}): Promise<RunningGateway> =>
    tokenGateway({ jwt: { revocations: { file, ...more } } });

  test('a restart, with a file that nobody else can read', async () => {
    const file = join(await folder(), 'made', 'r.jsonl');
    const first = await restarted(file);
    await revoke(first, { tokenId: 'x' });
    await revoke(first, { tokenId: 'back' });
    await revoke(first, { issuer: tokens.issuer, before: new Date((now() - 50) * 1_000).toISOString() });
    const back = (await listed(first)).find(({ what }) => 'tokenId' in what && what.tokenId === 'back');
    await ask(first, 'DELETE', undefined, { path: `/v1/revocations?id=${back?.id}` });
    await first.gateway.stop();
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const second = await restarted(file);
    expect(await refusedLogin(second, tokens.sign({ jti: 'x' }))).toBe('28P01');
    expect(await refusedLogin(second, tokens.sign({ iat: now() - 100 }))).toBe('28P01');
    await session(second, tokens.sign({ jti: 'back' }));
  });

  test('a crash in the middle of a line', async () => {
    const file = join(await folder(), 'r.jsonl');
    const first = await restarted(file);
    await revoke(first, { tokenId: 'x' });
    await first.gateway.stop();
    await appendFile(file, '{"id":"half');
    const second = await restarted(file);
    expect(await refusedLogin(second, tokens.sign({ jti: 'x' }))).toBe('28P01');
    await revoke(second, { tokenId: 'y' });
    await second.gateway.stop();
    const third = await restarted(file);
    expect((await listed(third)).map(({ what }) => what)).toEqual([{ tokenId: 'x' }, { tokenId: 'y' }]);
  });

  test('until every token it is about has expired: then it leaves the file at the next start', async () => {
    const file = join(await folder(), 'r.jsonl');
    const first = await restarted(file);
    await revoke(first, { tokenId: 'x' });
    const [entry] = await listed(first);
    expect(entry?.until).toBeGreaterThanOrEqual((entry?.at ?? 0) + 86_400_000);
    await first.gateway.stop();
    const text = await readFile(file, 'utf8');
    await writeFile(file, text.replace(/"until":\d+/, `"until":${Date.now() - 1}`));
    const second = await restarted(file);
    expect(await listed(second)).toEqual([]);
    await session(second, tokens.sign({ jti: 'x' }));
    expect(await readFile(file, 'utf8')).toBe('');
  });

  test('many others that are over: the file is written anew now and then', async () => {
    const file = join(await folder(), 'r.jsonl');
    const gateway = await restarted(file);
    await revoke(gateway, { tokenId: 'stays' });
    for (let round = 0; round < 510; round++) {
      const { body } = await revoke(gateway, { tokenId: 'x' });
      await ask(gateway, 'DELETE', undefined, { path: `/v1/revocations?id=${(body as Revocation).id}` });
    }
    expect((await readFile(file, 'utf8')).split('\n').length).toBeLessThan(1_010);
    await gateway.gateway.stop();
    expect((await listed(await restarted(file))).map(({ what }) => what)).toEqual([{ tokenId: 'stays' }]);
  });

  test.each<[string, (file: string) => Promise<unknown>, RegExp]>([
    ['others can write to', (file) => chmod(file, 0o622), /others can write/],
    ['has a line that is none', (file) => appendFile(file, 'x\n'), /line 2 is not a revocation/],
    ['has a line of something else', (file) => appendFile(file, '{"at":1,"until":2,"what":{}}\n'), /line 2/],
  ])('no file that %s: the gateway does not start, unless it may', async (_name, spoil, why) => {
    const file = join(await folder(), 'r.jsonl');
    const first = await restarted(file);
    await revoke(first, { tokenId: 'x' });
    await first.gateway.stop();
    await spoil(file);
    await expect(restarted(file)).rejects.toThrow(why);
    const open = await restarted(file, { failOpen: true });
    await vi.waitFor(() => {
      const [line] = open.lines('revocations cannot be read: revoked tokens may be accepted');
      expect(line?.['reason']).toMatch(why);
    }, 30_000);
    await session(open, tokens.sign({ jti: 'x' }));
    const { ended } = await session(open, tokens.sign({ jti: 'y' }));
    const { status, body } = await revoke(open, { tokenId: 'y' });
    expect([status, body]).toEqual([
      503,
      { error: expect.stringMatching(/in force on this gateway/) as string },
    ]);
    expect((await ended)?.code).toBe('57P01');
  });
});

describe('a store that gateways share', () => {
  /** In memory; two gateways in one process are two to each other. */
  class SharedStore implements RevocationStore {
    readonly all = new Map<string, Revocation>();
    readonly listeners = new Set<(change: RevocationChange | 'missed') => void>();
    down = false;
    load() {
      return this.down
        ? Promise.reject(new Error('the store is down'))
        : Promise.resolve([...this.all.values()]);
    }
    add(revocation: Revocation) {
      this.all.set(revocation.id, revocation);
      for (const hear of this.listeners) hear({ added: revocation });
      return Promise.resolve();
    }
    remove(id: string) {
      this.all.delete(id);
      for (const hear of this.listeners) hear({ removed: id });
      return Promise.resolve();
    }
    watch(hear: (change: RevocationChange | 'missed') => void) {
      this.listeners.add(hear);
      return () => void this.listeners.delete(hear);
    }
  }

  test('tells each what another did, and what it missed', async () => {
    const store = new SharedStore();
    const setting = { jwt: { revocations: { store } } };
    const [one, two] = [await tokenGateway(setting), await tokenGateway(setting)];
    const here = await session(two, tokens.sign({ jti: 'x' }));
    const late = await session(two, tokens.sign({ jti: 'late' }));
    await revoke(one, { tokenId: 'x' });
    expect((await here.ended)?.code).toBe('57P01');
    expect(await refusedLogin(two, tokens.sign({ jti: 'x' }))).toBe('28P01');
    const missed: Revocation = {
      id: 'm',
      what: { tokenId: 'late' },
      at: Date.now(),
      until: Date.now() + 60_000,
    };
    store.all.set('m', missed);
    for (const hear of store.listeners) hear('missed');
    expect((await late.ended)?.code).toBe('57P01');
    await one.gateway.stop();
    await two.gateway.stop();
    expect(store.listeners.size).toBe(0);
  });

  test('that is down stops the boot, unless it may fail open', async () => {
    const store = new SharedStore();
    store.down = true;
    await expect(tokenGateway({ jwt: { revocations: { store } } })).rejects.toThrow('the store is down');
    const gateway = await tokenGateway({ jwt: { revocations: { store, failOpen: true } } });
    await session(gateway, tokens.sign());
  });
});
