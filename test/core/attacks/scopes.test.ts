/** Plugins that were limited to a part of the gateway and must not silently vanish from it, nor spread over it. */
import { tmpdir } from 'node:os';
import { expect, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import { only } from '../../../core/config.ts';
import type { AnyPlugin, Scope } from '../../../core/plugin.ts';

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

test.each([undefined, null, 'default', ['default']])('only(%j) is refused', (scope) => {
  expect(() => check(...only(scope as unknown as Scope, guard))()).toThrow(/scope|only/);
});

test('only() limits whatever the boot accepts as a plugin', () => {
  const bare = Object.assign(Object.create(null) as AnyPlugin, { name: 'bare', onStartup() {} });
  const [scoped] = only({ databases: ['orders'] }, bare);
  expect(scoped.scope).toEqual({ databases: ['orders'] });
});
