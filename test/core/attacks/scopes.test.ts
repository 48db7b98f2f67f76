/** Plugins that were limited to a part of the gateway and must not silently vanish from it, nor spread over it. */
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import { only } from '../../../core/contract/config.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import type { Scope } from '../../../core/contract/scope.ts';
import { jwt } from '../../../plugins/jwt/index.ts';
import { roles } from '../../../plugins/roles/index.ts';
import { logIn } from '../../support/gateway.ts';
import { issuer } from '../../support/token.ts';
import { attacked } from './attacked.ts';

const here = attacked();
const guard: AnyPlugin = { name: 'guard', onStartup() {} };
const server = { host: '127.0.0.1', login: { kind: 'trust' } as const };

function check(...plugins: readonly unknown[]): () => unknown {
  return () => checkConfig({ databases: { orders: server, '*': server }, plugins }, tmpdir());
}

test('only() for the star would cover no session, and is refused', () => {
  expect(check(...only({ databases: ['*'] }, guard))).toThrow("'*'");
  expect(check(...only({ databases: ['orders'] }, guard))).not.toThrow();
});

test('a typo in an inner only() is refused as one in an outer', () => {
  const typo = { listners: ['default'] } as Scope;
  expect(check(...only(typo, guard))).toThrow('listners');
  expect(check(...only({ databases: ['orders'] }, ...only(typo, guard)))).toThrow('listners');
});

test.each([[undefined], [null], ['default'], [['default']]])('only(%j) is refused', (scope) => {
  expect(() => check(...only(scope as unknown as Scope, guard))()).toThrow(/scope|only/);
});

test('only() limits whatever the boot accepts as a plugin', () => {
  const bare = Object.assign(Object.create(null) as AnyPlugin, { name: 'bare', onStartup() {} });
  const [scoped] = only({ databases: ['orders'] }, bare);
  expect(scoped.scope).toEqual({ databases: ['orders'] });
});

test('each listener can have its own issuers and roles, and a token of one opens nothing on the other', async () => {
  const partner = issuer({ issuer: 'https://partner.example', algorithms: ['ES256'] });
  const { lines } = await here.gateway({
    listen: [
      { name: 'staff', port: 0 },
      { name: 'partners', port: 0 },
    ],
    plugins: [
      ...only(
        { listeners: ['staff'] },
        jwt({ issuers: [here.keys.options] }),
        roles({ claim: 'role', allow: ['reader', 'writer'] }),
      ),
      ...only(
        { listeners: ['partners'] },
        jwt({ issuers: [partner.options] }),
        roles({ claim: 'role', allow: ['reader'] }),
      ),
    ],
  });
  const [staff = 0, partnered = 0] = lines('listening').map(({ port }) => Number(port));
  const attempt = async (port: number, token: string): Promise<string> =>
    logIn(await here.connect(port), { user: '_' }, { token }).then(
      () => 'in',
      (error: unknown) => /"C":"(\w+)"/.exec(String(error))?.[1] ?? String(error),
    );
  expect(await attempt(staff, here.keys.sign({ role: 'writer' }))).toBe('in');
  expect(await attempt(partnered, partner.sign({ role: 'reader' }))).toBe('in');
  expect(await attempt(partnered, partner.sign({ role: 'writer' }))).toBe('28000');
  expect(await attempt(partnered, here.keys.sign({ role: 'reader' }))).toBe('28P01');
  expect(await attempt(staff, partner.sign({ role: 'reader' }))).toBe('28P01');
});
