/** What a reload cannot change, and which entries of two configs are the same. */
import { describe, expect, test } from 'vitest';
import type { ResolvedConfig } from '../../../core/config/resolved.ts';
import type { DatabaseOptions } from '../../../core/contract/database.ts';
import { longestWaitMs, poolGroups, waitingIn } from '../../../core/gateway/pool-groups.ts';
import { refuseRestart } from '../../../core/gateway/restart.ts';
import { sameDatabase } from '../../../core/gateway/same-database.ts';

interface Where {
  readonly name?: string;
  readonly host?: string;
  readonly port?: number;
}
const config = (listeners: readonly Where[], admin?: Where): ResolvedConfig =>
  ({
    listeners: listeners.map(({ name = 'main', host = '::', port = 6432 }, place) => ({
      name,
      host,
      port,
      path: `listen[${place}]`,
    })),
    ...(admin && { admin: { host: '127.0.0.1', port: 9432, ...admin } }),
  }) as unknown as ResolvedConfig;

describe('a restart is needed', () => {
  const MAIN = config([{}]);
  test.each<[string, ResolvedConfig, ResolvedConfig, readonly string[]]>([
    ['nothing', MAIN, config([{}]), []],
    ['another order', config([{ name: 'a' }, { name: 'b' }]), config([{ name: 'b' }, { name: 'a' }]), []],
    [
      'another port',
      MAIN,
      config([{ port: 7000 }]),
      ['listen[0].port: 7000 instead of 6432 needs a restart'],
    ],
    [
      'another host and port',
      MAIN,
      config([{ host: '127.0.0.1', port: 7000 }]),
      [
        'listen[0].host: 127.0.0.1 instead of :: needs a restart',
        'listen[0].port: 7000 instead of 6432 needs a restart',
      ],
    ],
    ['one more', MAIN, config([{}, { name: 'two' }]), ["listen[1]: the new listener 'two' needs a restart"]],
    [
      'one less',
      config([{}, { name: 'two' }]),
      MAIN,
      ["listen: to go without the listener 'two' needs a restart"],
    ],
    [
      'another name',
      MAIN,
      config([{ name: 'x' }]),
      [
        "listen: to go without the listener 'main' needs a restart",
        "listen[0]: the new listener 'x' needs a restart",
      ],
    ],
    ['admin at last', MAIN, config([{}], {}), ['admin: to go with it needs a restart']],
    ['admin no more', config([{}], {}), MAIN, ['admin: to go without it needs a restart']],
    [
      'admin elsewhere',
      config([{}], {}),
      config([{}], { port: 1 }),
      ['admin.port: 1 instead of 9432 needs a restart'],
    ],
  ])('for %s', (_, before, after, lines) => {
    let said = '';
    try {
      refuseRestart(before, after);
    } catch (error) {
      said = (error as Error).message;
    }
    expect(said.split('\n').filter(Boolean)).toEqual(lines);
  });
});

test.each<[string, Partial<DatabaseOptions>, Partial<DatabaseOptions>, boolean]>([
  ['the same', {}, {}, true],
  [
    'a function made anew',
    { login: { kind: 'password', passwords: () => 'a' } },
    { login: { kind: 'password', passwords: () => 'b' } },
    true,
  ],
  [
    'a function instead of a table',
    { login: { kind: 'password', passwords: () => 'a' } },
    { login: { kind: 'password', passwords: { a: 'a' } } },
    false,
  ],
  [
    'another password',
    { login: { kind: 'password', passwords: { a: 'a' } } },
    { login: { kind: 'password', passwords: { a: 'b' } } },
    false,
  ],
  ['another host', { host: 'a' }, { host: 'b' }, false],
  ['another size', { pool: { size: 1 } }, { pool: { size: 2 } }, false],
])('two entries with %s are one: %4$s', (_, one, other, same) => {
  const entry: DatabaseOptions = { host: 'h', login: { kind: 'trust' } };
  expect(sameDatabase({ ...entry, ...one }, { ...entry, ...other })).toBe(same);
});

test('sessions and server connections are grouped by entry and role, whatever names they have', () => {
  const usage = (entry: string, role: string, waitingSince?: number) => ({ entry, role, waitingSince });
  const backing = (entry: string, role: string) => ({ entry, server: { key: { role } } });
  const overview = {
    usages: [usage('a', 'r'), usage('a', 'r', 5), usage('a"', 'r'), usage('a', '"r')],
    backings: () => [backing('a', 'r'), backing('b', 'r')],
  };
  const groups = poolGroups(overview as never);
  expect(
    groups.map(({ entry, role, usages, backings }) => [entry, role, usages.length, backings.length]),
  ).toEqual([
    ['a', 'r', 2, 1],
    ['a"', 'r', 1, 0],
    ['a', '"r', 1, 0],
    ['b', 'r', 0, 1],
  ]);
  expect(waitingIn(overview.usages as never)).toEqual([5]);
});

test('nobody waits longer than the one that waits longest, and nobody less than no time', () => {
  expect(longestWaitMs([])).toBe(0);
  expect(longestWaitMs([Date.now() + 60_000])).toBe(0);
  expect(longestWaitMs([Date.now() - 1_000, Date.now() - 90_000])).toBeGreaterThanOrEqual(90_000);
});
