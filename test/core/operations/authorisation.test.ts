/** Every verb of operators by every kind of caller: only an operator does anything. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { console } from '../../../plugins/console/index.ts';
import { jwt } from '../../../plugins/jwt/index.ts';
import { roles } from '../../../plugins/roles/index.ts';
import { databaseOf } from '../../support/gateway.ts';
import { home, partner, startOperated } from '../../support/operated.ts';
import type { Operated } from '../../support/operated.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { RawClient, fieldsOf, message, startup } from '../../support/raw-client.ts';
import { issuer, now } from '../../support/token.ts';

let running: Operated;
let client: Client;
let session: string;

beforeAll(async () => {
  running = await startOperated(sharedPostgres());
  client = await running.client();
  session = await idOf('alice');
});
afterAll(async () => {
  await client.end();
  await running.gateway.stop();
});

async function idOf(subject: string): Promise<string> {
  const { body } = await running.ask('GET', '/v1/sessions');
  const { sessions } = body as { sessions: readonly { id: string; subject: string }[] };
  return sessions.find((one) => one.subject === subject)?.id ?? '';
}

const dba = { groups: ['dba'] };
/** Who comes, by what is wrong with them: the status over HTTP and the SQLSTATE in the console. */
const STRANGERS: readonly (readonly [who: string, token: () => string, status: number, code: string])[] = [
  ['nobody', () => '', 401, '28P01'],
  ['somebody without a token', () => 'dba', 401, '28P01'],
  ['an ordinary user', () => home.sign(), 403, '28000'],
  ['somebody whose claim is almost right', () => home.sign({ groups: ['dbadmin'] }), 403, '28000'],
  [
    'an operator whose token has expired',
    () => home.sign({ ...dba, exp: now() - 60, iat: now() - 120 }),
    401,
    '28P01',
  ],
  ['an operator of another issuer', () => partner.sign(dba), 403, '28000'],
  ['an operator by a key of their own', () => issuer({ algorithms: ['ES256'] }).sign(dba), 401, '28P01'],
  ['an operator for somebody else', () => home.sign({ ...dba, aud: 'other' }), 401, '28P01'],
];

const VERBS: readonly (readonly [method: string, path: () => string])[] = [
  ['POST', () => '/v1/databases/orders/pause'],
  ['POST', () => '/v1/databases/orders/resume'],
  ['POST', () => '/v1/databases/orders/reconnect'],
  ['POST', () => '/v1/databases/orders/kill'],
  ['POST', () => '/v1/databases/nowhere/kill'],
  ['DELETE', () => `/v1/sessions/${session}`],
  ['POST', () => '/v1/databases/orders/disable'],
  ['POST', () => '/v1/databases/orders/enable'],
  ['POST', () => '/v1/databases/orders/wait-close'],
  ['POST', () => '/v1/suspend'],
  ['POST', () => '/v1/resume'],
  ['POST', () => '/v1/shutdown'],
  ['POST', () => '/v1/shutdown?after=clients'],
  ['POST', () => '/v1/reload'],
  ['GET', () => '/v1/sessions'],
  ['GET', () => '/v1/databases'],
  ['GET', () => '/v1/databases/orders'],
];

describe.each(STRANGERS)('%s', (_, token, status, code) => {
  test.each(VERBS)('does not %s %s', async (method, path) => {
    const answer = await running.ask(method, path(), token());
    expect(answer).toEqual({ status, body: { error: expect.any(String) as string } });
    expect(JSON.stringify(answer)).not.toMatch(/alice|orders|olga/);
  });

  test('does not come to the console', async () => {
    await expect(running.console({ password: token() })).rejects.toMatchObject({ code, severity: 'FATAL' });
  });

  test('has changed nothing', async () => {
    expect(await running.ask('GET', '/v1/databases/orders')).toMatchObject({
      body: { paused: false, disabled: false },
    });
    await (await running.client()).end();
    expect((await client.query('select 1')).rows).toHaveLength(1);
    expect(running.lines('operator')).toEqual([]);
  });
});

test('a token that is not good reads at the console what it reads anywhere', async () => {
  const said = async (database: string): Promise<Record<string, string>> => {
    const raw = await RawClient.connect(running.port);
    raw.send(startup({ user: '_', database }));
    await raw.until('R');
    raw.send(message('p', 'no-token\0'));
    const fields = fieldsOf((await raw.message()).body);
    await raw.rest();
    return fields;
  };
  expect(await said('pgbouncer')).toEqual(await said('orders'));
  expect(await said('pgbouncer')).toEqual(await said('nowhere'));
});

test('an operator whose token expires in the console has no more to say there', async () => {
  const token = home.sign({ ...dba, sub: 'otto', exp: now() + 6 });
  const desk = await running.console({ password: token });
  const ended = new Promise<Error>((resolve) => desk.once('error', resolve));
  await desk.query('SHOW VERSION');
  expect(await ended).toMatchObject({ code: '57P01' });
  await expect(desk.query('KILL orders')).rejects.toThrow();
  while (!running.lines('close').some(({ subject }) => subject === 'otto')) await sleep(20);
  expect(running.lines('close')).toContainEqual(
    expect.objectContaining({ subject: 'otto', reason: 'ended' }),
  );
});

describe('plugins', () => {
  const witness = (calls: string[], refuse?: 'start' | 'check'): AnyPlugin => ({
    name: 'witness',
    checks: {
      identity(_identity, _session, renewed) {
        calls.push(`check ${renewed ? 'again' : 'first'}`);
        if (refuse === 'check') throw new GatewayError('invalid_password', 'revoked');
      },
    },
    onStartup({ startup: { database } }) {
      calls.push(`startup ${database}`);
      if (refuse === 'start') throw new GatewayError('invalid_authorization_specification', 'not from here');
    },
    onAuth: () => void calls.push('auth'),
    onClose: (_session, { kind }) => void calls.push(`close ${kind}`),
  });
  const start = (calls: string[], refuse?: 'start' | 'check'): Promise<Operated> =>
    startOperated(sharedPostgres(), {
      plugins: [
        witness(calls, refuse),
        jwt({ issuers: [home.options] }),
        roles({ claim: 'role', allow: ['reader'] }),
        console(),
      ],
    });

  test('see an operator come and go, and check the identity; nothing maps a role', async () => {
    const calls: string[] = [];
    const own = await start(calls);
    const desk = await own.console();
    await desk.end();
    await own.gateway.stop();
    expect(calls).toEqual(['startup pgbouncer', 'check first', 'close client']);
  });

  test.each([
    ['start', '28000', ['startup pgbouncer', 'close refused']],
    ['check', '28P01', ['startup pgbouncer', 'check first', 'close refused']],
  ] as const)('that refuse at the %s keep an operator out', async (refuse, code, expected) => {
    const calls: string[] = [];
    const own = await start(calls, refuse);
    await expect(own.console()).rejects.toMatchObject({ code });
    await own.gateway.stop();
    expect(calls).toEqual(expected);
  });
});

describe('the name of the console', () => {
  const databases = { pgbouncer: databaseOf(sharedPostgres()) };

  test('cannot be that of an entry, unless the console has another or there is none', async () => {
    await expect(startOperated(sharedPostgres(), { databases })).rejects.toThrow(
      "plugins: 'console' answers the database 'pgbouncer', which is an entry of databases: give one of them another name",
    );
    for (const name of ['operators', false] as const) {
      const admin = { port: 0, operators: { claim: 'groups', value: 'dba' } };
      const desk = name && { database: name };
      const own = await startOperated(sharedPostgres(), { databases, admin, console: desk });
      const one = await own.client({ database: 'pgbouncer' });
      expect((await one.query('select 1 as answer')).rows).toEqual([{ answer: 1 }]);
      await one.end();
      if (name !== false) await (await own.console({ database: name })).end();
      await own.gateway.stop();
    }
  });

  test('is nothing special where nobody is an operator', async () => {
    const own = await startOperated(sharedPostgres(), { databases, admin: { port: 0 }, console: false });
    await (await own.client({ database: 'pgbouncer' })).end();
    await own.gateway.stop();
    await expect(startOperated(sharedPostgres(), { admin: { port: 0 } })).rejects.toThrow(
      "plugins: 'console' answers the database 'pgbouncer', for operators, and without admin.operators nobody is one",
    );
  });

  test("beats '*'", async () => {
    const own = await startOperated(sharedPostgres(), { databases: { '*': databaseOf(sharedPostgres()) } });
    await expect(own.client({ database: 'pgbouncer' })).rejects.toMatchObject({ code: '28000' });
    await (await own.console()).end();
    await own.gateway.stop();
  });
});
