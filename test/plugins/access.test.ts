/** Access on demand: who may ask, what they get, and that nothing else gets out. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import type { DatabaseError } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { AnyPlugin, Events } from '../../core/index.ts';
import {
  CI_KEY,
  OLD_KEY,
  OWN,
  company,
  deskConfig,
  deskOf,
  developer,
  openDesk,
  operator,
  partner,
} from './access-desk.ts';
import { startGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer, now } from '../support/token.ts';

const WANTED = { database: 'orders', role: 'reader', reason: 'ticket 4711', duration: '10m' };

async function sqlstate(work: Promise<unknown>): Promise<string | undefined> {
  return work.then(
    () => 'it went well',
    (error: DatabaseError) => error.code,
  );
}

describe('who asks', () => {
  test('gets a token that logs in as the role, and no more', async () => {
    const desk = await openDesk();
    const { status, headers, body } = await desk.ask(developer(), WANTED);
    expect(status).toBe(201);
    expect(headers.get('cache-control')).toBe('no-store');
    expect(headers.get('location')).toBe(`/v1/grants/${String(body['id'])}`);
    expect(body).toEqual({
      id: expect.any(String) as string,
      database: 'orders',
      role: 'reader',
      reason: 'ticket 4711',
      issuedAt: expect.any(String) as string,
      expiresAt: expect.any(String) as string,
      rules: { databases: ['orders'] },
      token: expect.any(String) as string,
      uri: 'postgresql://_@db.example:6432/orders?sslmode=disable',
      psql: `PGPASSWORD="$TOKEN" psql 'postgresql://_@db.example:6432/orders?sslmode=disable'`,
    });
    const claims = decodeJwt(String(body['token']));
    expect(claims).toMatchObject({
      iss: OWN,
      aud: 'postern',
      sub: 'ada',
      jti: body['id'],
      role: 'reader',
      caller: { iss: company.issuer, sub: 'ada' },
      postern: { databases: ['orders'] },
    });
    expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(600);
    const client = await desk.login(body['token']);
    expect((await client.query('select session_user as who')).rows).toEqual([{ who: 'reader' }]);
    expect(await sqlstate(desk.login(body['token'], 'other'))).toBe('42501');
  });

  test('by API key gets what is allowed for the key, its rules with it', async () => {
    const desk = await openDesk();
    const { status, body } = await desk.ask(CI_KEY, { database: 'other' });
    expect([status, body['role']]).toEqual([201, 'writer']);
    const claims = decodeJwt(String(body['token']));
    expect(claims.sub).toBe('key:ci');
    expect(claims['postern']).toEqual({
      databases: ['other'],
      cidrs: ['127.0.0.0/8'],
      max_connections: 2,
      max_session_duration: '300000ms',
    });
    expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(600);
    await desk.login(body['token'], 'other');
    await desk.login(body['token'], 'other');
    expect(await sqlstate(desk.login(body['token'], 'other'))).toBe('53300');
  });

  test('is told what is outside of the policy by 403 and a sentence, and nothing of what exists', async () => {
    const desk = await openDesk();
    const told = async (credential: string, body: object): Promise<unknown[]> => {
      const answer = await desk.ask(credential, body);
      return [answer.status, answer.body['error']];
    };
    const no = (what: string): unknown[] => [403, `you may not have ${what}`];
    const ada = developer();
    expect(await told(ada, { ...WANTED, database: 'other' })).toEqual(no('access to database "other"'));
    expect(await told(ada, { ...WANTED, database: 'none' })).toEqual(no('access to database "none"'));
    expect(await told(ada, { ...WANTED, role: 'postgres' })).toEqual(
      no('role "postgres" in database "orders"'),
    );
    expect(await told(ada, { ...WANTED, duration: '61m' })).toEqual([
      403,
      'you may have role "reader" in database "orders" for 1h at most',
    ]);
    expect(await told(ada, { ...WANTED, reason: undefined })).toEqual([
      403,
      'say why you need role "reader" in database "orders"',
    ]);
    expect(await told(ada, { ...WANTED, role: undefined })).toEqual([
      400,
      'name a role: you may have reader, writer in database "orders"',
    ]);
    const stranger = developer({ groups: ['sales'] });
    expect(await told(stranger, WANTED)).toEqual(no('access to database "orders"'));
    // The group is one of the partner's people only.
    expect(await told(developer({ groups: 'bot' }), WANTED)).toEqual(no('access to database "orders"'));
    expect(await told(partner.sign({ groups: 'bot' }), { database: 'orders' })).toEqual([201, undefined]);
    expect(await told(CI_KEY, { database: 'orders', role: 'reader' })).toEqual(
      no('role "reader" in database "orders"'),
    );
  });

  test('and is nobody known reads one and the same 401, whatever is wrong', async () => {
    const desk = await openDesk();
    const good = await desk.ask(developer(), WANTED);
    const stranger = issuer({ algorithms: ['ES256'] });
    const wrong = [
      undefined,
      '',
      'x',
      'short',
      OLD_KEY,
      `${CI_KEY}x`,
      CI_KEY.slice(0, -1),
      createHash('sha256').update(CI_KEY).digest('hex'),
      developer({ exp: now() - 1 }),
      developer({ aud: 'other' }),
      stranger.sign({ groups: ['dev'] }),
      // What the gateway has granted cannot ask for more.
      String(good.body['token']),
    ];
    const answers = await Promise.all(
      wrong.map((credential) => desk.send('POST', '/v1/grants', credential, WANTED)),
    );
    for (const { status, text, headers } of answers) {
      expect([status, text]).toEqual([401, '{"error":"a good token or API key is needed"}']);
      expect(headers.get('www-authenticate')).toBe('Bearer');
    }
    expect((await desk.send('GET', '/v1/grants', OLD_KEY)).status).toBe(401);
    expect((await desk.send('DELETE', `/v1/grants/${String(good.body['id'])}`)).status).toBe(401);
  });

  test('in words that are not understood reads which', async () => {
    const desk = await openDesk();
    const told = async (body: unknown): Promise<unknown[]> => {
      const answer = await desk.ask(developer(), body);
      return [answer.status, answer.body['error']];
    };
    expect(await told('{')).toEqual([400, 'the body is not JSON']);
    expect(await told('[]')).toEqual([400, 'the body is no JSON object']);
    expect(await told({})).toEqual([400, 'database is missing']);
    expect(await told({ ...WANTED, database: 7 })).toEqual([400, 'database is not a text']);
    expect(await told({ ...WANTED, user: 'x' })).toEqual([
      400,
      'the body is made of database, role, duration, reason only',
    ]);
    expect(await told({ ...WANTED, reason: 'a\nb' })).toEqual([400, 'reason has control characters']);
    expect(await told({ ...WANTED, reason: 'x'.repeat(501) })).toEqual([
      400,
      'reason is longer than 500 characters',
    ]);
    for (const duration of ['0s', 'long', '10', '1e9d'])
      expect((await told({ ...WANTED, duration }))[0]).toBe(400);
    expect(await told(JSON.stringify({ ...WANTED, reason: 'x'.repeat(200_000) }))).toEqual([
      413,
      'the body is too long',
    ]);
  });

  test('too often has to wait, and keeps nobody else waiting', async () => {
    const desk = await openDesk({ access: { rate: '2/h' } });
    const ask = (credential: string): Promise<{ status: number; headers: Headers }> =>
      desk.ask(credential, { ...WANTED, role: 'writer' });
    expect([(await ask(developer())).status, (await ask(developer())).status]).toEqual([201, 201]);
    const third = await ask(developer());
    expect(third.status).toBe(429);
    const seconds = Number(third.headers.get('retry-after'));
    expect(seconds > 3_000 && seconds <= 3_600).toBe(true);
    expect((await ask(CI_KEY)).status).toBe(201);
    expect((await desk.send('GET', '/v1/grants', developer())).status).toBe(200);
  });
});

describe('a subject', () => {
  test('is never taken for another: neither that of another issuer nor a key', async () => {
    const desk = await openDesk();
    const subject = async (credential: string): Promise<string | undefined> => {
      const { body } = await desk.ask(credential, { ...WANTED, role: 'writer' });
      return decodeJwt(String(body['token'])).sub;
    };
    expect(await subject(partner.sign({ sub: 'ada', groups: 'bot' }))).toBe(`${partner.issuer}#ada`);
    expect(await subject(developer({ sub: 'key:ci' }))).toBe(`${company.issuer}#key:ci`);
    expect(await subject(developer({ sub: `${partner.issuer}#ada` }))).toBe(
      `${company.issuer}#${partner.issuer}#ada`,
    );
    expect(await subject(CI_KEY)).toBe('key:ci');
  });
});

describe('a grant', () => {
  test('is revoked by its owner: the session is gone, and the token opens nothing', async () => {
    const desk = await openDesk();
    const { body } = await desk.ask(developer(), WANTED);
    const client = await desk.login(body['token']);
    const gone = new Promise((resolve) => client.once('end', resolve));
    const path = `/v1/grants/${String(body['id'])}`;
    const before = await desk.send('GET', path, developer());
    expect(before.body).toMatchObject({ id: body['id'], sessions: 1, role: 'reader' });
    const answer = await desk.send('DELETE', path, developer());
    expect([answer.status, answer.body['ended']]).toEqual([200, 1]);
    await gone;
    expect(await sqlstate(desk.login(body['token']))).toBe('28P01');
    const after = await desk.send('GET', path, developer());
    expect(after.body).toMatchObject({ sessions: 0, revokedAt: expect.any(String) as string });
    // Again is no harm.
    expect((await desk.send('DELETE', path, developer())).status).toBe(200);
  });

  test('is shown to its owner and to operators, and to nobody else to see or revoke', async () => {
    const desk = await openDesk();
    const mine = (await desk.ask(developer(), WANTED)).body['id'];
    const keys = (await desk.ask(CI_KEY, { database: 'orders' })).body['id'];
    const listed = async (credential: string): Promise<unknown[]> => {
      const { body } = await desk.send('GET', '/v1/grants', credential);
      return (body['grants'] as { id: string }[]).map(({ id }) => id);
    };
    expect(await listed(developer())).toEqual([mine]);
    expect(await listed(CI_KEY)).toEqual([keys]);
    expect(await listed(operator())).toEqual([keys, mine]);
    // One with the same name, of another issuer.
    const namesake = partner.sign({ sub: 'ada', groups: ['dev'] });
    expect(await listed(namesake)).toEqual([]);
    for (const method of ['GET', 'DELETE']) {
      for (const credential of [namesake, CI_KEY, developer({ sub: 'eve' })])
        expect((await desk.send(method, `/v1/grants/${String(mine)}`, credential)).status).toBe(404);
    }
    const { status } = await desk.send('DELETE', `/v1/grants/${String(mine)}`, operator());
    expect(status).toBe(200);
    expect(desk.lines('access revoked')).toMatchObject([{ id: mine, by: { subject: 'olga' } }]);
  });

  test('ends with the tokens of whoever asked for it, when these are revoked', async () => {
    const desk = await openDesk();
    const [ada, bob] = [developer(), developer({ sub: 'bob' })];
    const [adas, bobs] = [await desk.ask(ada, WANTED), await desk.ask(bob, WANTED)];
    const session = await desk.login(adas.body['token']);
    const ended = new Promise((resolve) => session.once('error', resolve));
    const revoke = (what: object): ReturnType<typeof desk.send> =>
      desk.send('POST', '/v1/revocations', operator(), what);
    expect((await revoke({ issuer: company.issuer, subject: 'ada' })).status).toBe(201);
    expect(await ended).toMatchObject({ code: '57P01' });
    expect(await sqlstate(desk.login(adas.body['token']))).toBe('28P01');
    expect(await sqlstate(desk.login(bobs.body['token']))).toBe('it went well');
    expect(desk.lines('access revoked')).toMatchObject([{ id: adas.body['id'], by: { subject: 'olga' } }]);
    const ofKey = await desk.ask(CI_KEY, { database: 'orders' });
    const before = new Date(Date.now() + 1_000).toISOString();
    expect((await revoke({ issuer: company.issuer, before })).status).toBe(201);
    expect(await sqlstate(desk.login(bobs.body['token']))).toBe('28P01');
    expect(await sqlstate(desk.login(ofKey.body['token']))).toBe('it went well');
  });

  test('is never called revoked while its token is good', async () => {
    const desk = await openDesk({ revocations: { limit: 1 } });
    const [first, second] = [await desk.ask(developer(), WANTED), await desk.ask(developer(), WANTED)];
    const path = (answer: typeof first): string => `/v1/grants/${String(answer.body['id'])}`;
    expect((await desk.send('DELETE', path(first), developer())).status).toBe(200);
    const full = await desk.send('DELETE', path(second), developer());
    expect([full.status, full.body['error']]).toEqual([503, 'not revoked: there are 1 revocations already']);
    expect((await desk.send('GET', path(second), developer())).body).not.toHaveProperty('revokedAt');
    expect(desk.lines('access revoked')).toHaveLength(1);
    expect((await (await desk.login(second.body['token'])).query('select 1')).rowCount).toBe(1);
  });

  test('is made once under one Idempotency-Key, and a key is not for two requests', async () => {
    const desk = await openDesk();
    const under = (key: string) => ({ 'idempotency-key': key });
    const first = await desk.ask(developer(), WANTED, under('a'));
    const again = await desk.ask(developer(), { ...WANTED }, under('a'));
    expect([again.status, again.text]).toEqual([201, first.text]);
    const other = await desk.ask(developer(), { ...WANTED, role: 'writer' }, under('a'));
    expect([other.status, other.body['error']]).toEqual([
      422,
      'this Idempotency-Key was used for another request',
    ]);
    // Keys are the caller's own.
    const bobs = await desk.ask(developer({ sub: 'bob' }), WANTED, under('a'));
    expect([bobs.status, bobs.body['id'] === first.body['id']]).toEqual([201, false]);
    // What failed may be tried again.
    expect((await desk.ask(developer(), { ...WANTED, duration: '9h' }, under('b'))).status).toBe(403);
    expect((await desk.ask(developer(), WANTED, under('b'))).status).toBe(201);
    expect((await desk.ask(developer(), WANTED, under('x'.repeat(256)))).status).toBe(400);
    const { body } = await desk.send('GET', '/v1/grants', developer());
    expect(body['grants']).toHaveLength(2);
  });

  test.each<[string, (id: string) => readonly [method: string, path: string, who: string, body?: object]]>([
    ['by its caller', (id) => ['DELETE', `/v1/grants/${id}`, developer()]],
    ['by an operator’s DELETE', (id) => ['DELETE', `/v1/grants/${id}`, operator()]],
    ['by the id of its token', (id) => ['POST', '/v1/revocations', operator(), { tokenId: id }]],
    [
      'by the subject of its token',
      () => ['POST', '/v1/revocations', operator(), { issuer: OWN, subject: 'ada' }],
    ],
  ])('is not said again after it was revoked %s', async (_, how) => {
    const desk = await openDesk();
    const under = { 'idempotency-key': 'a' };
    const first = await desk.ask(developer(), WANTED, under);
    expect(first.status).toBe(201);
    expect((await desk.send(...how(String(first.body['id'])))).status).toBeLessThan(300);
    const { status, body } = await desk.ask(developer(), WANTED, under);
    expect([status, body['error']]).toEqual([
      410,
      'what was granted under this Idempotency-Key has been revoked: to ask once more, use another key',
    ]);
    expect((await desk.ask(developer(), WANTED, { 'idempotency-key': 'b' })).status).toBe(201);
  });

  test('that is revoked stands in the list of revocations no longer than it would have lasted', async () => {
    const desk = await openDesk();
    const { body } = await desk.ask(developer(), WANTED);
    expect((await desk.send('DELETE', `/v1/grants/${String(body['id'])}`, developer())).status).toBe(200);
    const list = await desk.send('GET', '/v1/revocations', operator());
    expect(JSON.parse(list.text)).toMatchObject({
      revocations: [{ until: Date.parse(String(body['expiresAt'])) }],
    });
  });
});

test('each decision is a line of the log and an event, with who and why; a credential is nowhere', async () => {
  const events: Events['access'][] = [];
  const observer: AnyPlugin = { name: 'observer', on: { access: (event) => events.push(event) } };
  const config = deskConfig();
  const running = await startGateway({ ...config, plugins: [...config.plugins, observer] });
  onTestFinished(() => running.gateway.stop());
  const desk = deskOf(running);
  const ada = developer();
  const granted = await desk.ask(ada, WANTED);
  const texts = [granted.text];
  texts.push((await desk.ask(ada, { ...WANTED, database: 'other' })).text);
  texts.push((await desk.ask(CI_KEY, { database: 'orders' })).text);
  texts.push((await desk.send('GET', '/v1/grants', operator())).text);
  texts.push((await desk.send('GET', '/openapi.json')).text);
  await desk.login(granted.body['token']);
  const by = { issuer: company.issuer, subject: 'ada' };
  const said = { role: 'reader', reason: 'ticket 4711', durationMs: 600_000 };
  expect(desk.lines('access granted')[0]).toMatchObject({ ...by, ...said, id: granted.body['id'] });
  const wanted = `API key absent, wanted 'ci'; iss is '${company.issuer}', wanted '${partner.issuer}'`;
  const why = `you may not have access to database "other": ${wanted}`;
  expect(desk.lines('access refused')).toMatchObject([{ ...by, ...said, database: 'other', why }]);
  expect(events).toMatchObject([
    { by, granted: true, database: 'orders', ...said, id: granted.body['id'] },
    { by, granted: false, database: 'other', ...said, why },
    { by: { issuer: 'api-key', subject: 'ci' }, granted: true, database: 'orders', role: 'writer' },
  ]);
  const secrets = [ada.split('.')[2] ?? '', CI_KEY, ...Object.values(sharedPostgres().passwords)];
  for (const secret of secrets) {
    expect(desk.text()).not.toContain(secret);
    for (const text of texts) expect(text).not.toContain(secret);
  }
  expect(desk.text()).not.toContain(String(granted.body['token']).split('.')[2]);
});

test('a request that is not completed is no internal error, so that nobody fills the log with them', async () => {
  const desk = await openDesk();
  const form = 'Content-Type: application/x-www-form-urlencoded';
  const heads = [
    `POST /oauth/token HTTP/1.1\r\n${form}`,
    `POST /v1/grants HTTP/1.1\r\nAuthorization: Bearer ${developer()}`,
    `POST /v1/revocations HTTP/1.1\r\nAuthorization: Bearer ${operator()}`,
  ];
  for (const head of heads) {
    const socket = connect(desk.adminPort, '127.0.0.1');
    socket.write(`${head}\r\nHost: desk\r\nExpect: 100-continue\r\nContent-Length: 1000\r\n\r\n`);
    // The body is being waited for.
    await once(socket, 'data');
    socket.write('{');
    await sleep(200);
    socket.destroy();
    await once(socket, 'close');
    await sleep(200);
    expect((await desk.send('GET', '/livez')).status).toBe(200);
  }
  expect(desk.lines('internal error')).toEqual([]);
});

describe('a config', () => {
  test('in which jwt would not read the rules of what is granted does not start', async () => {
    await expect(openDesk({ access: { rulesClaim: 'rules' } })).rejects.toThrow(
      "access.rulesClaim: jwt reads no rules from 'rules': give it the same rulesClaim",
    );
  });

  test('in which access stands above jwt does not start', async () => {
    const config = deskConfig();
    const plugins = config.plugins.toReversed();
    const resolved = {
      ...config,
      listen: { port: 0 },
      plugins: plugins.filter((one) => one && one.name !== 'roles' && one.name !== 'limits'),
    };
    expect(() => checkConfig(resolved, tmpdir())).not.toThrow();
    await expect(startGateway(resolved)).rejects.toThrow('access: list it below');
  });

  test('reloaded keeps grants, keys and what was answered, and applies the new policy', async () => {
    const desk = await openDesk();
    const under = { 'idempotency-key': 'k' };
    const first = await desk.ask(developer(), WANTED, under);
    const client = await desk.login(first.body['token']);
    const keys = (await desk.send('GET', '/.well-known/jwks.json')).text;
    const policy = [{ who: { apiKey: 'ci' }, databases: ['orders'], roles: ['reader'] }];
    const { admin, ...rest } = deskConfig({ access: { policy } });
    const next = checkConfig({ listen: { port: 0 }, admin: { ...admin }, ...rest }, tmpdir());
    await desk.gateway.reload(() => Promise.resolve(next));
    expect((await desk.ask(developer(), WANTED)).status).toBe(403);
    expect((await desk.ask(developer(), WANTED, under)).text).toBe(first.text);
    expect((await desk.send('GET', '/.well-known/jwks.json')).text).toBe(keys);
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    await desk.login(first.body['token']);
    const path = `/v1/grants/${String(first.body['id'])}`;
    expect((await desk.send('GET', path, developer())).body).toMatchObject({ sessions: 2 });
    const gone = new Promise((resolve) => client.once('end', resolve));
    expect((await desk.send('DELETE', path, developer())).body).toMatchObject({ ended: 2 });
    await gone;
  });
});
