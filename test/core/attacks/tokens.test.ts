/** Tokens and roles: nothing but a good token for exactly this issuer, audience and role opens a session. */
import { expect, test } from 'vitest';
import type { Identity } from '../../../core/contract/facts.ts';
import type { Plugin } from '../../../core/contract/plugin.ts';
import { jwt } from '../../../plugins/jwt/index.ts';
import { roles } from '../../../plugins/roles/index.ts';
import { badTokens } from '../../support/bad-tokens.ts';
import { logIn } from '../../support/gateway.ts';
import { issuer, now } from '../../support/token.ts';
import { message, startup } from '../../support/raw-client.ts';
import { attacked } from './attacked.ts';

const here = attacked();

async function roleOf(port: number, user: string, token: string): Promise<string> {
  const client = await here.connect(port);
  try {
    await logIn(client, { user }, { token });
  } catch (error) {
    return /"C":"(\w+)"/.exec(String(error))?.[1] ?? String(error);
  }
  client.send(message('Q', 'select session_user\0'));
  const row = (await client.until('Z')).find(({ type }) => type === 'D');
  return row?.body.subarray(6).toString() ?? '';
}

test('every bad token ends in the same bytes, and PostgreSQL hears of none', async () => {
  const good = issuer({ algorithms: ['ES256', 'RS256', 'PS256'] });
  const plugins = [jwt({ issuers: [good.options] }), roles({ claim: 'role', allow: ['reader'] })];
  const { port } = await here.gateway({ plugins });
  const before = here.proxy.count();
  const answers = new Set<string>();
  const bad = badTokens(good);
  expect(bad.length).toBeGreaterThan(60);
  for (const { token } of bad) {
    const client = await here.connect(port);
    client.send(startup({ user: '_', database: 'orders' }));
    await client.until('R');
    client.send(message('p', `${token}\0`));
    answers.add((await client.rest()).toString());
    client.destroy();
  }
  expect([...answers]).toEqual([expect.stringContaining('password authentication failed for user "_"')]);
  expect(here.proxy.count()).toBe(before);
});

test('names in a token are never a role: not a subject, not a prototype’s, not another case, not another script', async () => {
  const plugins = [
    jwt({ issuers: [here.keys.options] }),
    roles({ claim: 'app.role', map: { read: 'reader', write: 'writer' } }),
  ];
  const { port } = await here.gateway({ plugins });
  const before = here.proxy.count();
  for (const claims of [
    { sub: 'writer', app: { role: 'reader' } },
    { app: { role: 'writer' } },
    ...['__proto__', 'constructor', 'toString', 'READ', 'read ', 'rеad', 'read\0', ''].map((role) => ({
      app: { role },
    })),
    ...[null, 1, true, {}, [], [['read']], [null, 'read'], { role: 'read' }].map((role) => ({
      app: { role },
    })),
    { app: 'read' },
    { app: ['read'] },
    { app: null },
  ]) {
    for (const user of ['_', 'alice', 'writer', 'reader', 'postgres']) {
      expect([claims, user, await roleOf(port, user, here.keys.sign(claims))]).toEqual([
        claims,
        user,
        '28000',
      ]);
    }
  }
  expect(here.proxy.count()).toBe(before);
});

test('a user name that is the subject takes the token’s role, and never the role of that name', async () => {
  const { port } = await here.gateway();
  const sign = (claims: object): string => here.keys.sign({ ...claims });
  expect(await roleOf(port, 'writer', sign({ sub: 'writer', role: 'reader' }))).toBe('reader');
  expect(await roleOf(port, 'writer', sign({ sub: 'x', role: 'reader' }))).toBe('28000');
  expect(await roleOf(port, 'postgres', sign({ sub: 'postgres', role: 'reader' }))).toBe('reader');
  expect(await roleOf(port, '_', sign({ sub: '_', role: ['writer', 'reader'] }))).toBe('writer');
  expect(await roleOf(port, 'reader', sign({ role: ['writer', 'reader'] }))).toBe('reader');
  expect(await roleOf(port, 'Reader', sign({ role: 'reader' }))).toBe('28000');
});

test('a remembered token is the same token: same role choice, other user, other database, refused where it was', async () => {
  const { port } = await here.gateway();
  const token = here.keys.sign({ role: ['reader', 'writer'] });
  expect(await roleOf(port, 'reader', token)).toBe('reader');
  expect(await roleOf(port, 'writer', token)).toBe('writer');
  expect(await roleOf(port, 'postgres', token)).toBe('28000');
  expect(await roleOf(port, '_', `${token} `)).toBe('28P01');
  const [header, claims, signature = ''] = token.split('.');
  const last = signature.endsWith('A') ? 'B' : 'A';
  expect(await roleOf(port, '_', `${header}.${claims}.${signature.slice(0, -1)}${last}`)).toBe('28P01');
});

test('a plugin that moves the date it was given does not prolong a remembered token', async () => {
  const seen: Identity[] = [];
  const moving: Plugin<'identity'> = {
    name: 'moving',
    needs: ['identity'],
    onAuth({ facts: { identity } }) {
      seen.push(identity);
      identity.expiresAt.setTime(identity.expiresAt.getTime() + 3_600_000);
    },
  };
  const { port } = await here.gateway({ plugins: [...here.policies, moving] });
  const exp = now() + 5;
  const token = here.keys.sign({ exp });
  expect(await roleOf(port, '_', token)).toBe('reader');
  expect(await roleOf(port, '_', token)).toBe('reader');
  expect(seen[1]?.expiresAt.getTime()).toBe(exp * 1_000 + 3_600_000);
  while (Date.now() < exp * 1_000) await new Promise((resolve) => setTimeout(resolve, 50));
  expect(await roleOf(port, '_', token)).toBe('28P01');
});

test('tokens that were never good displace no remembered one', async () => {
  const { port, lines } = await here.gateway();
  const token = here.keys.sign();
  expect(await roleOf(port, '_', token)).toBe('reader');
  for (let round = 0; round < 200; round += 1) {
    const client = await here.connect(port);
    client.send(
      startup({ user: '_', database: 'orders' }),
      message('p', `${token.slice(0, -9)}${round}aaaaaa\0`),
    );
    await client.rest();
  }
  expect(lines('token refused')).toHaveLength(200);
  expect(await roleOf(port, '_', token)).toBe('reader');
});
