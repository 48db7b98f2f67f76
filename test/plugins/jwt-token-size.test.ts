/** `maxTokenBytes` means what it says, to the byte: at a login, at a renewal, for operators and for those who ask for access. */
import { Client } from 'pg';
import { describe, expect, onTestFinished, test } from 'vitest';
import { access, ownIssuer } from '../../plugins/access/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';
import { errorOf, session } from './token-sessions.ts';

const tokens = issuer({ algorithms: ['ES256'] });
const own = 'https://postern.example';

/** A good token of exactly so many bytes. */
function tokenOf(bytes: number): string {
  const claims = { operator: 'yes' };
  for (const more of [0, 1, 2, 3]) {
    const header = { x: 'x'.repeat(more) };
    const short = tokens.sign({ ...claims, y: '' }, header).length;
    // Four characters are three bytes.
    for (let spare = -4; spare <= 4; spare += 1) {
      const length = Math.floor(((bytes - short) * 3) / 4) + spare;
      const token = tokens.sign({ ...claims, y: 'y'.repeat(Math.max(0, length)) }, header);
      if (token.length === bytes) return token;
    }
  }
  throw new Error('no token has this length');
}

async function start(maxTokenBytes?: number): Promise<RunningGateway> {
  const granted = ownIssuer({ issuer: own });
  const running = await startGateway({
    databases: { orders: databaseOf(sharedPostgres()) },
    admin: { port: 0, operators: { claim: 'operator', value: 'yes' } },
    plugins: [
      operations(),
      jwt({ issuers: [tokens.options, granted], ...(maxTokenBytes !== undefined && { maxTokenBytes }) }),
      roles({ claim: 'role', allow: ['reader'] }),
      limits(),
      access({
        issuer: granted,
        callers: { issuers: [tokens.issuer] },
        policy: [
          {
            who: { claim: 'role', value: 'reader' },
            databases: ['orders'],
            roles: ['reader'],
            reason: 'optional',
          },
        ],
        connect: { host: 'db.example' },
      }),
    ],
  });
  onTestFinished(() => running.gateway.stop());
  return running;
}

const renewal = (token: string): string => `set postern.token = '${token}'`;

describe.each([
  ['65536', 65_536],
  ['20000', 20_000],
  ['the default', undefined],
] as const)('with %s', (_name, given) => {
  const most = given ?? 16_384;
  const longest = tokenOf(most);
  const tooLong = tokenOf(most + 1);
  const http = async (
    { adminPort }: RunningGateway,
    path: string,
    token: string,
    body?: string,
  ): Promise<number> => {
    const { status } = await fetch(`http://127.0.0.1:${adminPort}${path}`, {
      headers: { authorization: `Bearer ${token}` },
      ...(body !== undefined && { method: 'POST', body }),
    });
    return status;
  };

  test('a login and a renewal take a token of that many bytes, and none of one more', async () => {
    const running = await start(given);
    const { client } = await session(running, longest);
    await client.query(renewal(longest));
    expect((await errorOf(client.query(renewal(tooLong)))).code).toBe('28P01');
    const refused = await errorOf(session(running, tooLong));
    // What no config can allow is no message of the protocol.
    expect(refused.code).toBe(most === 65_536 ? '08P01' : '28P01');
    const reason = `is ${most + 1} bytes long, ${most} allowed (maxTokenBytes)`;
    expect(running.lines('token refused').map((line) => line['reason'])).toContain(reason);
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  });

  test('so do operators and callers over HTTP', async () => {
    const running = await start(given);
    expect(await http(running, '/v1/sessions', longest)).toBe(200);
    expect(await http(running, '/v1/sessions', tooLong)).toBe(401);
    const asked = JSON.stringify({ database: 'orders' });
    expect(await http(running, '/v1/grants', longest, asked)).toBe(201);
    expect(await http(running, '/v1/grants', tooLong, asked)).toBe(401);
  });

  test('so does a token exchange', async () => {
    const running = await start(given);
    const exchange = async (token: string): Promise<number> => {
      const form = new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: token,
        subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
        audience: 'orders',
      });
      const url = `http://127.0.0.1:${running.adminPort}/oauth/token`;
      return (await fetch(url, { method: 'POST', body: form })).status;
    };
    expect([await exchange(longest), await exchange(tooLong)]).toEqual([200, 400]);
  });
});

test('a token is counted in bytes, not in characters', async () => {
  const running = await start(128);
  const client = new Client({
    host: '127.0.0.1',
    port: running.port,
    user: '_',
    database: 'orders',
    password: 'ü'.repeat(100),
  });
  expect((await errorOf(client.connect())).code).toBe('28P01');
  expect(running.lines('token refused')[0]?.['reason']).toBe(
    'is 200 bytes long, 128 allowed (maxTokenBytes)',
  );
});

test.each([0, -1, 1.5, 127, 65_537, Infinity, '65536'])('%j can be no length of a token', (maxTokenBytes) => {
  expect(() => jwt({ issuers: [tokens.options], maxTokenBytes: maxTokenBytes as number })).toThrow(
    /^jwt\.maxTokenBytes: a whole number of bytes from 128 to 65536 is needed/,
  );
});
