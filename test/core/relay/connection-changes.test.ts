import { beforeEach, expect, test } from 'vitest';
import { ConnectionChanges } from '../../../core/relay/connection-changes.ts';
import { settingsIn } from '../../../core/relay/settings/setting-names.ts';
import { WATCHED_STATEMENTS } from '../../../core/relay/session-state-detection.ts';
import { encodeQuery } from '../../../core/wire/to-server.ts';

let pinned: string | undefined;
const link = {
  get pinned(): string | undefined {
    return pinned;
  },
  pin(why: string): void {
    pinned ??= why;
  },
};
const settle = (): undefined => undefined;
const QUERY = 'Q'.charCodeAt(0);

beforeEach(() => (pinned = undefined));

/** The state after statements that the client has sent as simple Queries, each with its tag. */
function after(changes: ConnectionChanges, ...statements: readonly (readonly [sql: string, tag: string])[]) {
  for (const [sql, tag] of statements) {
    if (changes.watched) changes.sends(QUERY, encodeQuery(sql), { leaves: () => 'nothing' });
    const named = settingsIn(sql);
    if (named) changes.touch(named);
    changes.completed(tag);
  }
  return { dirty: changes.dirty, pinned, touched: [...(changes.take()?.names ?? [])] };
}

test('in transaction mode a SET is remembered by the name of its setting, and leaves nothing unknown', () => {
  const changes = new ConnectionChanges(link, { settle }, false);
  expect(after(changes, ["set TimeZone to 'UTC'", 'SET'], ['reset work_mem', 'RESET'])).toEqual({
    dirty: false,
    pinned: undefined,
    touched: [
      ['timezone', 'set'],
      ['work_mem', 'reset'],
    ],
  });
});

test('a SET without a text that names its setting is unknown: it needs a reset, or keeps the connection', () => {
  expect(after(new ConnectionChanges(link, { settle }, false), ['select f()', 'SET'])).toMatchObject({
    dirty: true,
    pinned: undefined,
  });
  expect(
    after(new ConnectionChanges(link, { settle, pinsUnknown: true }, false), ['select f()', 'SET']),
  ).toMatchObject({ dirty: true, pinned: 'settings that no text shows' });
});

test('where settings do not follow the session, a SET needs a reset', () => {
  expect(after(new ConnectionChanges(link, {}, false), ["set TimeZone to 'UTC'", 'SET']).dirty).toBe(true);
});

test('a check-in begins anew', () => {
  const changes = new ConnectionChanges(link, { settle }, false);
  changes.calls('state');
  changes.reports('TimeZone', new Map([['TimeZone', 'UTC']]));
  after(changes, ['do $$ $$', 'DO']);
  expect([changes.dirty, changes.left, changes.hasTouched]).toEqual([false, 'nothing', false]);
});

test('the value before the first report of a parameter is kept', () => {
  const changes = new ConnectionChanges(link, { settle }, false);
  changes.reports('TimeZone', new Map([['TimeZone', 'UTC']]));
  changes.reports('TimeZone', new Map([['TimeZone', 'Asia/Tokyo']]));
  expect(changes.take()?.reported).toEqual(new Map([['timezone', 'UTC']]));
});

test('functions leave the most that any of them leaves', () => {
  const changes = new ConnectionChanges(link, { settle }, false);
  for (const left of ['sequences', 'state', 'nothing'] as const) changes.calls(left);
  expect(changes.left).toBe('state');
});

test.each<[why: string, act: (changes: ConnectionChanges) => void]>([
  ['a command that may leave state', (changes) => changes.completed('SET')],
  ['a reported parameter', (changes) => changes.reports('TimeZone', new Map())],
  [
    'a text that may leave state',
    (changes) => changes.sends(QUERY, encodeQuery('create temp table t()'), undefined),
  ],
  [
    'functions that may leave state',
    (changes) => changes.sends(QUERY, encodeQuery('select f()'), { leaves: () => 'state' }),
  ],
  [
    'more statements than are read',
    (changes) => {
      for (let i = 0; i <= WATCHED_STATEMENTS; i += 1)
        changes.sends(QUERY, encodeQuery('select 1'), { leaves: () => 'nothing' });
    },
  ],
])('in session mode the connection of a watched session needs a reset after %s', (_, act) => {
  const changes = new ConnectionChanges(link, undefined, true);
  changes.completed('SELECT 1');
  changes.sends(QUERY, encodeQuery('select 1'), { leaves: () => 'nothing' });
  expect([changes.watched, changes.dirty]).toEqual([true, false]);
  act(changes);
  expect([changes.watched, changes.dirty]).toEqual([false, true]);
});

test('in session mode the connection of a session that is not watched is always reset', () => {
  const changes = new ConnectionChanges(link, undefined, false);
  expect([changes.watched, changes.dirty]).toEqual([false, true]);
});
