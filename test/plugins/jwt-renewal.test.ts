/** A fresh token on an open connection: how it may come, what it extends, and everything that it may not change. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { DatabaseError } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { AnyPlugin } from '../../core/index.ts';
import { logIn } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient, message } from '../support/raw-client.ts';
import { forge, issuer, now } from '../support/token.ts';
import { errorOf, foreign, past, session, shortToken, tokenGateway, tokens } from './token-sessions.ts';

const postgres = sharedPostgres();
const setToken = (token: string): string => `SET postern.token = '${token}'`;
const fresh = (claims: object = {}): string => tokens.sign({ ...claims });
/** Lets tokens carry rules: these are about what a renewal does with them. */
const keeper: AnyPlugin = { name: 'keeper', enforces: ['maxConnections', 'databases'] };

const parse = (sql: string, name = ''): Buffer => message('P', `${name}\0${sql}\0\0\0`);
const bind = (name = ''): Buffer =>
  message('B', Buffer.concat([Buffer.from(`\0${name}\0`), Buffer.alloc(6)]));
const execute = message('E', Buffer.from([0, 0, 0, 0, 0]));
const sync = message('S');

describe.each(['session', 'transaction'] as const)('in %s mode', (mode) => {
  const start = (): Promise<RunningGateway> => tokenGateway({ mode });

  /** Renews a session of four seconds by `renew`, and outlives its first token. */
  async function outlives(
    renew: (query: (sql: string) => Promise<unknown>) => Promise<unknown>,
  ): Promise<void> {
    const exp = now() + 4;
    const { client, notices, isOpen } = await session(await start(), shortToken(4, { exp }));
    await renew((sql) => client.query(sql));
    await past(exp);
    expect(isOpen()).toBe(true);
    expect((await client.query('select session_user as me')).rows).toEqual([{ me: 'reader' }]);
    // Of the first token; the fresh one is good for minutes.
    expect(notices.length).toBeLessThanOrEqual(1);
  }

  test('a session that is renewed by a simple query lives on', async () => {
    await outlives((query) => query(setToken(fresh())));
  });

  test('a session that is renewed in a transaction lives on, whatever becomes of that', async () => {
    await outlives(async (query) => {
      await query('begin');
      await query(setToken(fresh()));
      await query('rollback');
    });
  });

  test('a session that is renewed in a failed transaction lives on, and the transaction stays failed', async () => {
    await outlives(async (query) => {
      await query('begin');
      expect((await errorOf(query('select 1/0'))).code).toBe('22012');
      await query(setToken(fresh()));
      expect((await errorOf(query('select 1'))).code).toBe('25P02');
      await query('rollback');
    });
  });

  test('a named prepared statement of a driver does it as well', async () => {
    const exp = now() + 4;
    const { client, isOpen } = await session(await start(), shortToken(4, { exp }));
    await client.query({ name: 'renew', text: `set session postern.token to '${fresh()}';` });
    expect((await client.query('select $1::int as n', [7])).rows).toEqual([{ n: 7 }]);
    await past(exp);
    expect(isOpen()).toBe(true);
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  });

  test('in a pipeline every answer comes in its place', async () => {
    const { client } = await logIn(
      await RawClient.connect((await start()).port),
      { user: '_' },
      { token: shortToken(60) },
    );
    onTestFinished(() => client.destroy());
    client.send(
      message('Q', 'select 1\0'),
      message('Q', `${setToken(fresh())}\0`),
      message('Q', 'select 2\0'),
      parse('select 3'),
      bind(),
      execute,
      parse(setToken(fresh())),
      bind(),
      execute,
      parse('select 4'),
      bind(),
      execute,
      sync,
    );
    const types = [];
    for (let ready = 0; ready < 4;) {
      const { type, body } = await client.message();
      if (type === 'N') continue;
      types.push(type === 'D' ? body.subarray(6).toString() : type);
      if (type === 'Z') ready += 1;
    }
    expect(types.join('')).toBe(['T1CZ', 'CZ', 'T2CZ', '12', '3C', '12', 'C', '12', '4C', 'Z'].join(''));
  });

  test('in a pipeline a refused one skips to the Sync, and the session goes on', async () => {
    const { client } = await logIn(
      await RawClient.connect((await start()).port),
      { user: '_' },
      { token: shortToken(60) },
    );
    onTestFinished(() => client.destroy());
    client.send(
      parse('select 1'),
      bind(),
      execute,
      parse(setToken('x.y.z')),
      bind(),
      execute,
      parse('select 2'),
      bind(),
      execute,
      sync,
      message('Q', 'select 3\0'),
    );
    const types = [];
    for (let ready = 0; ready < 2;) {
      const { type, body } = await client.message();
      if (type === 'N') continue;
      types.push(type === 'D' ? body.subarray(6).toString() : type);
      if (type === 'Z') ready += 1;
    }
    expect(types.join('')).toBe('121CEZT3CZ');
  });
});

describe('a token that is refused leaves the session as it was', () => {
  const start = async (claims: object = {}) =>
    session(await tokenGateway({ plugins: [keeper] }), tokens.sign({ ...claims }));
  const rules = { max_connections: 5, databases: ['orders', 'stock'] };
  const stranger = issuer({ algorithms: ['ES256'] });

  test.each<[string, () => string, string, object?]>([
    ['of another subject', () => fresh({ sub: 'bob' }), '28000'],
    ['of another issuer', () => foreign.sign(), '28000'],
    ['with another role', () => fresh({ role: 'writer' }), '28000'],
    ['with one more role', () => fresh({ role: ['reader', 'writer'] }), '28000'],
    ['without a role', () => fresh({ role: undefined }), '28000'],
    ['without the rules of the first', () => fresh(), '28000', { postern: rules }],
    ['with one rule less', () => fresh({ postern: { max_connections: 5 } }), '28000', { postern: rules }],
    [
      'with a looser rule',
      () => fresh({ postern: { ...rules, max_connections: 6 } }),
      '28000',
      { postern: rules },
    ],
    [
      'with a wider list',
      () => fresh({ postern: { ...rules, databases: ['orders', 'hr'] } }),
      '28000',
      { postern: rules },
    ],
    ['with a rule nobody enforces', () => fresh({ postern: { max_session_duration: '1h' } }), '28000'],
    ['that expires earlier', () => fresh({ exp: now() + 100 }), '28000'],
    ['bound to a certificate', () => fresh({ cnf: { 'x5t#S256': 'A'.repeat(43) } }), '28P01'],
    ['that has expired', () => fresh({ iat: now() - 60, exp: now() - 1 }), '28P01'],
    ['for another audience', () => fresh({ aud: 'billing' }), '28P01'],
    ['that somebody else has signed', () => stranger.sign(), '28P01'],
    ['without a signature', () => `${fresh().split('.').slice(0, 2).join('.')}.`, '28P01'],
    [
      'signed by "none"',
      () => forge({ alg: 'none' }, { sub: 'alice' }, 'ES256', tokens.privateKey('ES256')),
      '28P01',
    ],
    ['that is no token', () => 'hunter2', '28P01'],
    ['of no length', () => '', '28P01'],
    ['of 100 000 bytes', () => fresh({ x: 'x'.repeat(100_000) }), '28P01'],
  ])('%s', async (_name, token, code, claims) => {
    const { client, ended, isOpen } = await start(claims);
    const refused = await errorOf(client.query(setToken(token())));
    expect([refused.severity, refused.code]).toEqual(['ERROR', code]);
    expect((await client.query('select session_user as me')).rows).toEqual([{ me: 'reader' }]);
    await client.query('begin');
    expect((await errorOf(client.query(setToken(token())))).code).toBe(code);
    expect(isOpen()).toBe(true);
    await client.end();
    expect(await ended).toBeUndefined();
  });

  test('and its end', async () => {
    const exp = now() + 4;
    const { client, ended } = await session(await tokenGateway(), shortToken(4, { exp }));
    expect((await errorOf(client.query(setToken(fresh({ sub: 'bob' }))))).code).toBe('28000');
    expect((await ended)?.message).toBe('the token has expired');
  });
});

describe('rules', () => {
  test('of a fresh token may be narrower, and are then what the next one is compared with', async () => {
    const { client } = await session(await tokenGateway({ plugins: [keeper] }), fresh());
    await client.query(setToken(fresh({ postern: { max_connections: 3 } })));
    await client.query(setToken(fresh({ postern: { max_connections: 3 } })));
    expect((await errorOf(client.query(setToken(fresh())))).code).toBe('28000');
    expect((await errorOf(client.query(setToken(fresh({ postern: { max_connections: 4 } }))))).code).toBe(
      '28000',
    );
  });
});

test('every plugin is asked again, and one that says no is the last word', async () => {
  const asked: unknown[] = [];
  const guard: AnyPlugin = {
    name: 'guard',
    checks: {
      identity({ claims }, _session, renewed) {
        asked.push([claims['tenant'], renewed]);
        if (claims['tenant'] !== 'a') throw new TypeError('boom');
      },
    },
  };
  const { client, isOpen } = await session(await tokenGateway({ plugins: [guard] }), fresh({ tenant: 'a' }));
  await client.query(setToken(fresh({ tenant: 'a' })));
  const refused = await errorOf(client.query(setToken(fresh({ tenant: 'b' }))));
  expect(refused.code).toBe('XX000');
  expect(asked).toEqual([
    ['a', false],
    ['a', true],
    ['b', true],
  ]);
  expect(isOpen()).toBe(true);
});

test('who tries one token after the other is soon refused without a look, and every look is told', async () => {
  const sqlstates: (string | undefined)[] = [];
  const watcher: AnyPlugin = {
    name: 'watcher',
    on: { renewal: ({ sqlstate }) => void sqlstates.push(sqlstate) },
  };
  const gateway = await tokenGateway({ plugins: [watcher] });
  const { client, isOpen } = await session(gateway, shortToken(60));
  const codes = [];
  for (let attempt = 0; attempt < 12; attempt += 1) {
    const token = attempt % 3 === 0 ? fresh() : attempt % 3 === 1 ? `${fresh()}x` : fresh({ sub: 'bob' });
    codes.push(await client.query(setToken(token)).catch((error: DatabaseError) => error.code));
  }
  const said = codes.map((code) => (typeof code === 'string' ? code : 'SET'));
  const looked = ['SET', '28P01', '28000', 'SET', '28P01', '28000', 'SET', '28P01'];
  expect(said).toEqual([...looked, '53400', '53400', '53400', '53400']);
  expect(sqlstates).toEqual(looked.map((code) => (code === 'SET' ? undefined : code)));
  expect(gateway.lines('token refused')).toHaveLength(3);
  expect((await errorOf(client.query(setToken(fresh())))).hint).toMatch(
    /^Try again in \d+ s, or connect again/,
  );
  expect(isOpen()).toBe(true);
  const other = await session(gateway, fresh());
  await other.client.query(setToken(fresh()));
});

test('no part of a token gets into a log or to PostgreSQL, good or bad, at whatever moment', async () => {
  const gateway = await tokenGateway({ mode: 'transaction' });
  const { client } = await session(gateway, fresh({ jti: 'the first' }));
  const shown = [fresh({ jti: 'a fresh one' }), tokens.sign({ sub: 'bob', jti: 'canary' }), `${fresh()}x`];
  for (const token of shown) {
    await client.query(setToken(token)).catch(() => {});
    await client.query('begin');
    await client.query({ name: token.slice(-20), text: setToken(token) }).catch(() => {});
    await client.query('rollback');
    await client.query(`${setToken(token)}; select 1`).catch(() => {});
  }
  const all = gateway.text() + postgres.log();
  for (const token of shown) for (const part of token.split('.')) expect(all).not.toContain(part);
  expect(gateway.lines('token renewed').length).toBeGreaterThan(0);
  expect(gateway.lines('token refused').length).toBeGreaterThan(0);
});

describeWith('psql', (psql) => {
  test('psql lives on by SET, reads the notice before, and the end after', async () => {
    const gateway = await tokenGateway();
    const exp = now() + 4;
    const env = { ...process.env, PGPASSWORD: shortToken(4, { exp }), PGSSLMODE: 'disable' };
    const to = `host=127.0.0.1 port=${gateway.port} user=_ dbname=orders`;
    const again = shortToken(8, { exp: exp + 4 });
    const commands = [setToken(again), 'select pg_sleep(5)', "select 'lives on'", 'select pg_sleep(60)'];
    const args = [to, '-XtA', ...commands.flatMap((sql) => ['-c', sql])];
    const { code, stdout, stderr } = await promisify(execFile)(psql, args, { env }).then(
      (good) => ({ ...good, code: 0 }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
    expect(stdout).toContain('lives on');
    expect(stderr).toContain(`NOTICE:  this connection ends at ${new Date(exp * 1_000).toISOString()}`);
    expect(stderr).toMatch(/the token has expired\nHINT:.*SET postern\.token/);
    expect(code).not.toBe(0);
  });
});
