/** Sessions that outlive their tokens by choice: a token is looked at when it is presented, and a bound of its own ends the session. */
import { describe, expect, test } from 'vitest';
import { claims } from '../../plugins/claims/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import type { SetByFunction } from '../../core/index.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { now } from '../support/token.ts';
import { host } from './gateway.ts';
import { errorOf, foreign, past, session, shortToken, tokenGateway, tokens } from './token-sessions.ts';

const outliving = (maxSession: IssuerOptions['maxSession'] & string): IssuerOptions => ({
  ...tokens.options,
  sessions: 'check-at-login',
  maxSession,
});

describe.each(['session', 'transaction'] as const)('in %s mode', (mode) => {
  const start = (maxSession: IssuerOptions['maxSession'] & string): Promise<RunningGateway> =>
    tokenGateway({ mode, jwt: { issuers: [outliving(maxSession), foreign.options], notice: '0s' } });

  test('a session goes on after exp, and the token opens no other', async () => {
    const gateway = await start('1h');
    const exp = now() + 5;
    const token = shortToken(5, { exp });
    const { client, isOpen } = await session(gateway, token);
    // Remembered now.
    await session(gateway, token);
    await past(exp);
    expect((await client.query('select session_user as me')).rows).toEqual([{ me: 'reader' }]);
    expect(isOpen()).toBe(true);
    expect((await errorOf(session(gateway, token))).code).toBe('28P01');
    expect((await errorOf(client.query(`set postern.token = '${token}'`))).code).toBe('28P01');
  });

  test('it ends when it has had its time, however long its token is good', async () => {
    const gateway = await start('2s');
    const startedAt = Date.now();
    const { ended } = await session(gateway, tokens.sign());
    const error = await ended;
    expect(Date.now() - startedAt).toBeGreaterThanOrEqual(2_000);
    expect(error).toMatchObject({
      code: '57P01',
      message: 'the session has lasted as long as its token allows',
    });
    expect(error?.hint).toMatch(/^Connect again .* before the end, SET postern\.token = /);
  });

  test('a fresh token gives it that time anew', async () => {
    const gateway = await start('6s');
    const { client, ended } = await session(gateway, shortToken(5));
    await past(now() + 1);
    const renewedAt = Date.now();
    await client.query(`set postern.token = '${shortToken(5)}'`);
    expect((await ended)?.code).toBe('57P01');
    expect(Date.now() - renewedAt).toBeGreaterThanOrEqual(6_000);
  });

  test('it ends when its token is taken back, after exp as well', async () => {
    const gateway = await start('1h');
    const exp = now() + 5;
    const one = await session(gateway, shortToken(5, { exp, jti: 'mine' }));
    const other = await session(gateway, shortToken(5, { exp, jti: 'other', sub: 'bob' }));
    await past(exp);
    const revoke = async (body: object): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${gateway.adminPort}/v1/revocations`, {
        method: 'POST',
        headers: { authorization: `Bearer ${tokens.sign({ operator: 'yes' })}` },
        body: JSON.stringify(body),
      });
      return response.status;
    };
    expect(await revoke({ tokenId: 'mine' })).toBe(201);
    expect((await one.ended)?.message).toBe('the token has been revoked');
    expect(other.isOpen()).toBe(true);
    expect(await revoke({ issuer: tokens.issuer, subject: 'bob' })).toBe(201);
    expect((await other.ended)?.code).toBe('57P01');
  });

  test('sessions of another issuer end with their tokens as ever', async () => {
    const gateway = await start('1h');
    const exp = now() + 5;
    const { ended } = await session(gateway, foreign.sign({ exp }));
    expect((await ended)?.message).toBe('the token has expired');
  });
});

test('a revocation is remembered for as long as such a session may last', async () => {
  const gateway = await tokenGateway({ jwt: { issuers: [{ ...outliving('8h'), maxLifetime: '1h' }] } });
  const headers = { authorization: `Bearer ${tokens.sign({ operator: 'yes' })}` };
  const url = `http://127.0.0.1:${gateway.adminPort}/v1/revocations`;
  await fetch(url, { method: 'POST', headers, body: JSON.stringify({ tokenId: 'x' }) });
  const { revocations } = (await (await fetch(url, { headers })).json()) as {
    revocations: { at: number; until: number }[];
  };
  const [{ at, until } = { at: 0, until: 0 }] = revocations;
  expect(until - at).toBe((9 * 3_600 + 60) * 1_000);
});

test('signed claims are good for the session, not for its token', async () => {
  const running = await host([jwt({ issuers: [outliving('8h')] }), claims({ key: 'k'.repeat(32) })]);
  const { upstream, facts } = await running.login({ token: shortToken(60) });
  const [set] = upstream.onCheckout;
  const values = set?.({ pid: 7, role: 'reader' } as never) as Record<string, SetByFunction>;
  const payload = JSON.parse(values['postern.claims']?.arguments[0] ?? '') as { exp: number };
  expect(payload.exp).toBeGreaterThan(now() + 7 * 3_600);
  expect(payload.exp).toBe(Math.floor((facts.identity?.expiresAt.getTime() ?? 0) / 1_000));
  expect(facts.identity?.claims['exp']).toBeLessThanOrEqual(now() + 60);
  await running.stop();
});

test('whom it vouches for over HTTP is good until exp', async () => {
  const running = await host([jwt({ issuers: [outliving('8h')] })]);
  const exp = now() + 60;
  const identity = await running.service('verifier')?.verify(shortToken(60, { exp }));
  expect(identity?.expiresAt).toEqual(new Date(exp * 1_000));
  await running.stop();
});

test.each<[Partial<IssuerOptions>, RegExp]>([
  [{ sessions: 'check-at-login' }, /^jwt\.issuers\[0\]\.maxSession: is needed with/],
  [{ maxSession: '8h' }, /^jwt\.issuers\[0\]\.maxSession: goes with/],
  [{ sessions: 'until-exp', maxSession: '8h' }, /^jwt\.issuers\[0\]\.maxSession: goes with/],
  [{ sessions: 'check-at-login', maxSession: '0s' }, /^jwt\.issuers\[0\]\.maxSession: no time/],
  [{ sessions: 'check-at-login', maxSession: 'long' as never }, /^jwt\.issuers\[0\]\.maxSession: /],
  [{ sessions: 'forever' as never, maxSession: '8h' }, /^jwt\.issuers\[0\]\.sessions: /],
])('%j stops the boot', (more, why) => {
  expect(() => jwt({ issuers: [{ ...tokens.options, ...more }] })).toThrow(why);
});
