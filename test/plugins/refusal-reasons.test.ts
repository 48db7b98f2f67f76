/** Whatever a policy refuses, the operator's log says by which rule, what was there and what was wanted; the client reads less. */
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { AnyPlugin } from '../../core/index.ts';
import { ipFilter } from '../../plugins/ip-filter/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { tenant } from '../../plugins/tenant/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { home, partner, startOperated } from '../support/operated.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';
import { company, openDesk, partner as outsider } from './access-desk.ts';

const tokens = issuer({ algorithms: ['ES256'] });
type Claims = Readonly<Record<string, unknown>>;

async function start(...plugins: readonly AnyPlugin[]): Promise<RunningGateway> {
  const entry = databaseOf(sharedPostgres());
  const running = await startGateway({
    databases: { orders: entry, archive: entry },
    plugins: [jwt({ issuers: [tokens.options] }), ...plugins],
  });
  onTestFinished(() => running.gateway.stop());
  return running;
}

async function login({ port }: RunningGateway, claims: Claims, user = '_'): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user,
    database: 'orders',
    password: tokens.sign(claims),
  });
  client.on('error', () => {});
  onTestFinished(() => client.end().catch(() => {}));
  await client.connect();
  return client;
}

/** What the log says of a refused login or renewal, and what the client does. */
async function refused(
  running: RunningGateway,
  work: Promise<unknown>,
  line = 'login refused',
): Promise<{ readonly reason: string; readonly read: string }> {
  const error = (await work.then(
    () => {
      throw new Error('it was not refused');
    },
    (thrown: unknown) => thrown,
  )) as DatabaseError;
  const reason = String(running.lines(line).at(-1)?.['reason']);
  return { reason, read: `${error.message} ${error.detail ?? ''} ${error.hint ?? ''}` };
}

const byRole = roles({ claim: 'groups', map: { dev: 'reader', ops: 'writer' } });

describe('roles', () => {
  test.each<[Claims, string, string]>([
    [{}, '_', 'claim groups is absent'],
    [{ groups: 7 }, '_', 'claim groups is not a text or a list of texts: 7'],
    [{ groups: ['dev', 7] }, '_', "claim groups is not a text or a list of texts: ['dev', 7]"],
    [{ groups: ['hr', 'it'] }, '_', "claim groups names no role that is allowed: ['hr', 'it']"],
    [{ groups: 'dev' }, 'ada', "the user name is 'ada', wanted one of ['reader', '_', 'alice']"],
  ])('%j as %s', async (claims, user, why) => {
    const running = await start(byRole);
    const { reason, read } = await refused(running, login(running, claims, user));
    expect(reason).toContain(why);
    expect(read).not.toMatch(/groups|hr|claim/);
  });

  test('a renewal: which role, and which it may be', async () => {
    const running = await start(byRole);
    const client = await login(running, { groups: ['dev'] });
    const renew = (groups: readonly string[]): Promise<unknown> =>
      client.query(`set postern.token = '${tokens.sign({ groups })}'`);
    expect((await refused(running, renew(['ops']), 'renewal refused')).reason).toContain(
      "it may be 'writer', and not reader",
    );
    expect((await refused(running, renew(['dev', 'ops']), 'renewal refused')).reason).toContain(
      "it may be writer, and the one before only 'reader'",
    );
  });
});

describe('tenant', () => {
  const plugins = [tenant({ claim: 'org', role: 'tenant_{tenant}' })];

  test.each<[Claims, string, string]>([
    [{}, '_', 'claim org is absent'],
    [{ org: ['acme'] }, '_', "claim org is not a text: ['acme']"],
    [{ org: 'Acme Inc' }, '_', "claim org is no name of a tenant, 1 to 63 of a-z, 0-9, _ and -: 'Acme Inc'"],
    [{ org: 'acme' }, 'ada', "the user name is 'ada', wanted one of ['tenant_acme', '_', 'alice']"],
  ])('%j as %s', async (claims, user, why) => {
    const running = await start(...plugins);
    const { reason, read } = await refused(running, login(running, claims, user));
    expect(reason).toContain(why);
    expect(read).not.toMatch(/Acme|claim/);
  });

  test('a renewal: of which tenant', async () => {
    const running = await start(tenant({ claim: 'org' }), roles({ claim: 'role', allow: ['reader'] }));
    const client = await login(running, { org: 'acme' });
    const work = client.query(`set postern.token = '${tokens.sign({ org: 'evil' })}'`);
    const { reason } = await refused(running, work, 'renewal refused');
    expect(reason).toContain("it is of 'evil', and the session of 'acme'");
  });
});

describe('limits', () => {
  const reader = roles({ claim: 'role', allow: ['reader'] });
  const never = { days: ['mon'], from: '00:00', to: '00:01', tz: 'Pacific/Kiritimati' };

  test('a database that the token is not for: which ones it is for', async () => {
    const running = await start(reader, limits());
    const work = login(running, { postern: { databases: ['archive'] } });
    expect((await refused(running, work)).reason).toContain("the token's rule databases is ['archive']");
  });

  test('too many sessions: by which limit, and for whom', async () => {
    const running = await start(reader, limits({ maxConnections: { subject: 2, role: 1 } }));
    await login(running, {});
    expect((await refused(running, login(running, {}))).reason).toContain(
      "1 are open, 1 allowed (limits.maxConnections.role for 'reader')",
    );
    const rule = login(running, { postern: { max_connections: 1 } });
    expect((await refused(running, rule)).reason).toContain(
      "1 are open, 1 allowed (the token's rule max_connections for 'alice')",
    );
  });

  test('a closed window: which one, and what time it is there', async () => {
    const time = /mon from 00:00 to 00:01 in Pacific\/Kiritimati, where it is \w{3} \d\d:\d\d/;
    const own = await start(reader, limits({ windows: [never] }));
    const { reason, read } = await refused(own, login(own, {}));
    expect(reason).toMatch(/no access window is open \(limits\.windows: /);
    expect(reason).toMatch(time);
    expect(read).not.toMatch(/mon|Pacific/);
    const running = await start(reader, limits());
    const ruled = await refused(running, login(running, { postern: { windows: [never] } }));
    expect(ruled.reason).toMatch(/\(the token's rule windows: mon /);
    const empty = await refused(running, login(running, { postern: { windows: [] } }));
    expect(empty.reason).toContain("(the token's rule windows: there is none)");
  });

  test('a session that has lasted too long: by which limit', async () => {
    const running = await start(reader, limits({ maxSession: '1h' }));
    const client = await login(running, {});
    const short = { max_session_duration: '1ms' };
    const work = client.query(`set postern.token = '${tokens.sign({ postern: short })}'`);
    const { reason } = await refused(running, work, 'renewal refused');
    expect(reason).toMatch(
      /it began at \d{4}-.*Z, 0\.001 s allowed \(the token's rule max_session_duration\)$/,
    );
  });
});

test('ip-filter: the networks of the token', async () => {
  const running = await start(ipFilter(), roles({ claim: 'role', allow: ['reader'] }));
  const work = login(running, { postern: { cidrs: ['10.0.0.0/8'] } });
  const { reason, read } = await refused(running, work);
  expect(reason).toContain("the token's rule cidrs is ['10.0.0.0/8'], and does not have 127.0.0.1");
  expect(read).not.toContain('10.0.0.0');
});

describe('access', () => {
  const asked = JSON.stringify({ database: 'orders', role: 'reader', reason: 'x' });

  test.each<[string | undefined, string]>([
    [undefined, 'there is no Authorization header'],
    ['Basic YTpi', "the Authorization header is not 'Bearer' with a token or API key"],
    ['Bearer not-a-key', 'no such API key, and no JWT'],
    [`Bearer ${company.sign({ aud: 'other' })}`, "aud is 'other', wanted 'postern'"],
  ])('who is not known: %#', async (authorization, why) => {
    const desk = await openDesk();
    const url = `http://127.0.0.1:${desk.adminPort}/v1/grants`;
    const headers = authorization === undefined ? {} : { authorization };
    const answer = await fetch(url, { method: 'POST', headers, body: asked });
    expect([answer.status, await answer.json()]).toEqual([
      401,
      { error: 'a good token or API key is needed' },
    ]);
    expect(desk.lines('access: caller not known').map((line) => line['reason'])).toEqual([why]);
  });

  test.each<[string, Claims, string]>([
    ['orders', { groups: ['hr'] }, "claim groups is ['hr'], wanted 'dev'; API key absent, wanted 'ci'"],
    ['orders', {}, "claim groups is absent, wanted 'dev'"],
    ['nowhere', { groups: ['dev'] }, 'no rule of access.policy has this database'],
  ])('what is outside of the policy: %s with %j', async (database, claims, why) => {
    const desk = await openDesk();
    const answer = await fetch(`http://127.0.0.1:${desk.adminPort}/v1/grants`, {
      method: 'POST',
      headers: { authorization: `Bearer ${company.sign(claims)}` },
      body: JSON.stringify({ database, role: 'reader', reason: 'x' }),
    });
    expect([answer.status, await answer.json()]).toEqual([
      403,
      { error: `you may not have access to database "${database}"` },
    ]);
    expect(desk.lines('access refused')[0]?.['why']).toContain(why);
  });

  test('a rule for another issuer, and a role that is not in it', async () => {
    const desk = await openDesk();
    const ask = async (token: string, role: string): Promise<unknown> => {
      const headers = { authorization: `Bearer ${token}` };
      const body = JSON.stringify({ database: 'other', role, reason: 'x' });
      await fetch(`http://127.0.0.1:${desk.adminPort}/v1/grants`, { method: 'POST', headers, body });
      return desk.lines('access refused').at(-1)?.['why'];
    };
    expect(await ask(company.sign({ groups: ['bot'] }), 'writer')).toContain(
      `iss is '${company.issuer}', wanted '${outsider.issuer}'`,
    );
    expect(await ask(outsider.sign({ groups: ['bot'] }), 'reader')).toContain(
      "the rules for this caller have 'writer'",
    );
  });
});

test('operators: why somebody is none, over HTTP and in the console', async () => {
  const operated = await startOperated(sharedPostgres());
  onTestFinished(() => operated.gateway.stop());
  expect((await operated.ask('GET', '/v1/sessions', home.sign({ groups: ['dev'] }))).status).toBe(403);
  expect((await operated.ask('GET', '/v1/sessions', partner.sign({ groups: ['dba'] }))).status).toBe(403);
  expect((await operated.ask('GET', '/v1/sessions', home.sign({ aud: 'x' }))).status).toBe(401);
  expect(operated.lines('not an operator')).toMatchObject([
    {
      path: '/v1/sessions',
      reason: expect.stringMatching(
        /^'\w+' of '.*': claim groups is \['dev'\], wanted 'dba' \(admin\.operators\)$/,
      ),
    },
    { reason: expect.stringMatching(/: iss is wanted to be '.*' \(admin\.operators\.issuer\)$/) },
  ]);
  expect(operated.lines('the token is not good')).toMatchObject([
    { reason: expect.stringContaining("aud is 'x', wanted 'postern'") },
  ]);
  const client = new Client({
    host: '127.0.0.1',
    port: operated.port,
    user: '_',
    database: 'pgbouncer',
    password: home.sign({ groups: ['dev'] }),
  });
  await expect(client.connect()).rejects.toMatchObject({ code: '28000' });
  expect(operated.lines('login refused')[0]?.['reason']).toContain("claim groups is ['dev'], wanted 'dba'");
});
