/** What the texts of a session depend on, without a server: which parts of it are known, for how long they are not, and who shares then. */
import { beforeEach, describe, expect, test } from 'vitest';
import { ParseContext } from '../../../core/relay/prepared/parse-context.ts';
import type { ParseContextHost } from '../../../core/relay/prepared/parse-context.ts';
import { hasNoCommandWord } from '../../../core/relay/session-state-detection.ts';
import { effectsOf } from '../../../core/relay/prepared/prepared-statement.ts';
import { SessionDefaults } from '../../../core/upstream/session-defaults.ts';
import type { LeftState } from '../../../core/sql/left-state.ts';

const defaultsOf = (nulls: string): SessionDefaults =>
  SessionDefaults.of([
    { name: 'search_path', value: 'public', fixed: false },
    { name: 'array_nulls', value: nulls, fixed: false },
  ]);

/** A session on a server that does not report search_path. */
class Session {
  readonly values = new Map<string, string | null | undefined>();
  readonly parameters = new Map([['DateStyle', 'ISO']]);
  readonly pins: string[] = [];
  readonly left: LeftState[] = [];
  readonly link = { server: undefined, checkOuts: 1 };
  objectChanges = 0;
  functions: LeftState = 'nothing';
  defaults: SessionDefaults | undefined = defaultsOf('on');
  readonly context: ParseContext;

  constructor() {
    const host: ParseContextHost = {
      link: this.link,
      outstanding: { settingsKnown: true },
      source: {
        parameters: this.parameters,
        settingOf: (name) =>
          this.values.has(name) ? this.values.get(name) : (this.defaults?.get(name) ?? null),
        defaults: undefined,
      },
      pin: (why) => void this.pins.push(why),
      touches() {},
      functions: { catalog: { leaves: (text) => (text === '' ? 'nothing' : this.functions) } },
      calls: (left) => void this.left.push(left),
      objectChanges: { begin: () => void (this.objectChanges += 1), makesLasting() {} },
    };
    Object.defineProperty(host.source, 'defaults', { get: () => this.defaults });
    this.context = new ParseContext(host);
  }

  /** A Query is executed. */
  runs(text: string): void {
    this.context.readQuery(text, hasNoCommandWord(text) ? 'plain' : 'other');
  }

  /** Whether a statement that it has prepared under the present path may be another session's. */
  get shares(): boolean {
    return !this.context.isApart({ settings: '', path: this.context.path });
  }
}

let session: Session;
beforeEach(() => (session = new Session()));

test('two sessions with the same schemas, role and readings have the same path', () => {
  const other = new Session();
  const same = (): boolean => other.context.path === session.context.path;
  expect([session.shares, same()]).toEqual([true, true]);
  for (const [name, value] of [
    ['search_path', 'b'],
    ['role', 'x'],
  ] as const) {
    other.values.set(name, value);
    expect([name, same()]).toEqual([name, false]);
    other.values.delete(name);
    expect([name, same()]).toEqual([name, true]);
  }
  other.defaults = defaultsOf('off');
  expect([other.shares, same()]).toEqual([true, false]);
});

test('the path that the server reports counts, and a setting is not asked for then', () => {
  session.values.set('search_path', 'b');
  const before = session.context.path;
  session.parameters.set('search_path', 'c');
  expect(session.context.path).not.toBe(before);
  session.values.set('search_path', 'd');
  expect(session.context.path).toMatch(/^c/);
});

test.each(['search_path', 'array_nulls'])(
  'while %s is not known nothing is shared, and afterwards it is',
  (name) => {
    session.values.set(name, undefined);
    expect(session.shares).toBe(false);
    session.values.delete(name);
    expect(session.shares).toBe(true);
  },
);

test('before the first connection nothing is known', () => {
  session.defaults = undefined;
  expect([session.context.path, session.shares]).toEqual([undefined, false]);
});

test('a session that reads otherwise than its login says shares nothing', () => {
  session.values.set('array_nulls', 'off');
  expect(session.shares).toBe(false);
});

describe('to the end of its transaction nothing is shared after', () => {
  test.each([
    'set search_path = b',
    'set local search_path = b',
    "select set_config('search_path', 'b', true)",
    'set role x',
    'set local role x',
    'reset role',
    'reset all',
    'discard all',
    'set local array_nulls = off',
    "select set_config($1, 'x', true)",
    "select set_config(concat('ro', 'le'), 'x', true)",
    'do $$ begin perform 1; end $$',
    'call p()',
  ])('%s', (text) => {
    session.runs(text);
    expect(session.shares).toBe(false);
    session.link.checkOuts += 1;
    expect(session.shares).toBe(true);
  });

  test('the execution of such a statement', () => {
    session.context.executed(effectsOf('set local search_path = b'));
    expect(session.shares).toBe(false);
    session.link.checkOuts += 1;
    expect(session.shares).toBe(true);
  });
});

describe('for good nothing is shared after', () => {
  test.each([
    "select set_config($1, 'x', false)",
    "update pg_settings set setting = 'b'",
    'set array_nulls = off',
    'create temp table x (n int)',
  ])('%s', (text) => {
    session.runs(text);
    session.link.checkOuts += 1;
    expect(session.shares).toBe(false);
  });

  test('a function that may leave any state', () => {
    session.functions = 'state';
    session.runs('select f()');
    session.link.checkOuts += 1;
    expect(session.shares).toBe(false);
  });
});

test('where the server reports search_path, a changed one is known', () => {
  session.parameters.set('search_path', 'public');
  session.runs('set search_path = b');
  session.parameters.set('search_path', 'b');
  expect(session.shares).toBe(true);
});

test.each([
  'select 1',
  "set statement_timeout = '1s'",
  "select set_config('app.user', $1, true)",
  'insert into t values (1) on conflict do nothing',
  'create function f() returns int language sql set search_path = b as $$ select 1 $$',
])('after %s it shares on', (text) => {
  session.runs(text);
  expect(session.shares).toBe(true);
});

test('temporary objects pin, a text that makes objects begins a change, and a table in pg_temp is a temporary one', () => {
  session.runs('create temp table x (n int)');
  expect(session.pins).toEqual(['temporary objects']);
  const other = new Session();
  other.values.set('search_path', 'pg_temp');
  other.runs('create table x as select 1');
  expect([other.objectChanges, other.left, other.shares]).toEqual([1, ['state', 'nothing'], false]);
});
