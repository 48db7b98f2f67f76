/** What is wrong with a plugin list, and the sentence that says so. */
import { describe, expect, test } from 'vitest';
import { only } from '../../core/contract/config.ts';
import { ConfigError } from '../../core/contract/errors.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { knownPlugins } from '../../core/config/known-plugins.ts';
import { checkPlugins } from '../../core/config/plugin-list.ts';
import { checkOrder } from '../../core/config/plugin-order.ts';

function jwt(name = 'jwt'): AnyPlugin {
  return { name, provides: ['identity'], onAuth() {} };
}
const needsIdentity: AnyPlugin = { name: 'roles', needs: ['identity'] };
const tenant: AnyPlugin = { name: 'tenant', needs: ['identity'], provides: ['tenant'], onAuth() {} };

class Policy {
  readonly name = 'policy';
  onAuth(): void {}
}

const installed = await knownPlugins();

/** The lines of the error for a list. */
function wrong(list: readonly unknown[], known = {}): readonly string[] {
  try {
    checkOrder(checkPlugins(list, known), undefined, installed);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message.split('\n');
  }
  return [];
}

describe('an entry that is no plugin', () => {
  test.each<[string, unknown, string]>([
    ['a factory', jwt, 'plugins[0] is a function: did you forget to call jwt()?'],
    ['a list', only({}, jwt()), 'plugins[0] is a list: spread it with …, as in `...only({ … }, mine())`'],
    ['a promise', Promise.resolve(jwt()), 'plugins[0] is a promise: await the factory'],
    [
      'an instance',
      new Policy(),
      'plugins[0] is an instance of Policy: a plugin is a plain object, made by a factory',
    ],
    ['a module', { jwt, helper: 1 }, 'plugins[0] is a module: import jwt from it and call jwt()'],
    ['a default', { default: jwt() }, 'plugins[0] is a module: import its factory by name and call it'],
    ['text', 'jwt', 'plugins[0] is text, not a plugin'],
    ['true', true, 'plugins[0] is a boolean, not a plugin'],
    ['no name', { onAuth() {} }, "plugins[0] has no name: expected { name: 'mine', … }"],
    ['an empty name', { name: '' }, "plugins[0] has no name: expected { name: 'mine', … }"],
  ])('%s', (_, entry, sentence) => {
    expect(wrong([entry])).toEqual([sentence]);
  });

  test('a module namespace is recognised', async () => {
    expect(wrong([await import('../../core/contract/names.ts')])[0]).toMatch(
      /^plugins\[0\] is a module: import parse/,
    );
  });

  test('only() does not hide what an entry really is', () => {
    expect(wrong([...only({ listeners: ['a'] }, jwt as never, new Policy() as never)])).toHaveLength(2);
  });
});

describe('a plugin with a mistake', () => {
  test.each<[string, object, string]>([
    ['a misspelt hook', { onAuht() {} }, "unknown key 'onAuht'; did you mean 'onAuth'?"],
    ['a hook that is none', { onAuth: true }, 'onAuth: expected a function, got a boolean'],
    ['needs as text', { needs: 'identity' }, 'needs: expected a list of names, got text'],
    [
      'a check that is none',
      { checks: { identity: 1 } },
      'checks.identity: expected a function, got a number',
    ],
    ['an observer that is none', { on: { login: 'x' } }, 'on.login: expected a function, got text'],
    ['commands as a list', { commands: [] }, 'commands: expected an object, got a list'],
    [
      'a command that is a function',
      { commands: { 'sql mine': () => 0 } },
      "commands['sql mine']: expected a command with summary and run, got a function",
    ],
    [
      'a command without a summary',
      { commands: { mine: { run: () => 0 } } },
      "commands['mine']: expected a command with summary and run, got an object without them",
    ],
    ['inBand as a list', { inBand: [] }, 'inBand: expected an object, got a list'],
    [
      'a foreign key',
      { inBand: { 'myapp.x': () => {} } },
      "inBand: 'myapp.x' is no name of ours: expected postern.… of lower-case letters, _ and dots",
    ],
    [
      'an upper-case key',
      { inBand: { 'postern.Token': () => {} } },
      "inBand: 'postern.Token' is no name of ours: expected postern.… of lower-case letters, _ and dots",
    ],
    ['a role it may map that is none', { maps: ['reader', 'a b'] }, "maps: 'a b': not a valid role name"],
    ['roles as text', { maps: 'reader' }, 'maps: expected a list of names, got text'],
    ['credentials as text', { credentials: 'scram' }, 'credentials: expected a list of names, got text'],
    ['no credentials', { credentials: [] }, 'credentials: lists none: it would never run'],
    [
      'a credential that there is not',
      { credentials: ['password', 'oauth'] },
      "credentials: expected 'password', 'oauthbearer', 'scram' or 'certificate', got 'oauth'",
    ],
    [
      'a scope of a credential that there is not',
      { scope: { credentials: ['oauth'] } },
      "only() names the credential 'oauth', which there is not; known: 'password', 'oauthbearer', 'scram' or 'certificate'",
    ],
    [
      'a scope without any of its credentials',
      { credentials: ['scram'], scope: { credentials: ['password', 'certificate'] } },
      "only() limits it to 'password' or 'certificate', and it is for 'scram': it would never run",
    ],
    ['reads something', { reads: 'text' }, "reads: expected 'kind', 'sql' or 'parameters', got 'text'"],
    [
      'a scope with a typo',
      { scope: { listener: ['a'] } },
      "unknown key 'listener'; did you mean 'listeners'?",
    ],
    ['a scope of text', { scope: { listeners: 'a' } }, 'scope.listeners: expected a list of names, got text'],
    ['a scope of nothing', { scope: { listeners: [] } }, 'only() lists no listeners: it would never run'],
  ])('%s', (_, part, sentence) => {
    expect(wrong([{ name: 'x', ...part }])).toEqual([`plugins[0] ('x') ${sentence}`]);
  });

  test('the place counts the entries that are skipped', () => {
    expect(wrong([false, undefined, jwt])).toEqual([
      'plugins[2] is a function: did you forget to call jwt()?',
    ]);
  });

  test('names that the config does not have are told', () => {
    const known = { listeners: ['public', 'private'], databases: ['orders'] };
    const [plugin] = only({ listeners: ['pubilc'], databases: ['x'] }, { name: 'x' });
    expect(wrong([plugin], known)).toEqual([
      "plugins[0] ('x') only() names the listener 'pubilc', which the config does not have; did you mean 'public'?",
      "plugins[0] ('x') only() names the database 'x', which the config does not have; known: 'orders'",
    ]);
    expect(wrong([plugin], { listeners: ['pubilc'] })).toEqual([]);
  });
});

describe('a list in which plugins do not fit together', () => {
  test('a need that nothing provides', () => {
    expect(wrong([needsIdentity])).toEqual([
      "plugins: 'roles' needs 'identity', but nothing above provides it: put jwt() before it",
    ]);
  });

  test('a need that nothing provides, where no plugin is installed that does', () => {
    expect(() => checkOrder([needsIdentity])).toThrow(
      "plugins: 'roles' needs 'identity', but nothing above provides it: put a plugin that does before it",
    );
  });

  test('a need that is provided too late', () => {
    expect(wrong([needsIdentity, jwt('keycloak')])).toEqual([
      "plugins: 'roles' needs 'identity', but 'keycloak' provides it further down: put 'keycloak' before it",
    ]);
  });

  test('a plugin cannot provide for itself', () => {
    expect(wrong([{ name: 'x', needs: ['tenant'], provides: ['tenant'], onAuth() {} }])).toHaveLength(1);
  });

  test('a fact provided twice', () => {
    expect(wrong([jwt(), jwt('other')])).toEqual([
      "plugins: 'other' provides 'identity', which 'jwt' provides already: one of them is enough",
    ]);
  });

  test('a promise without a hook to keep it', () => {
    expect(wrong([{ name: 'x', provides: ['tenant'] }])).toEqual([
      "plugins: 'x' provides 'tenant' but has no onAuth to establish it",
    ]);
  });

  test('two plugins of one name', () => {
    expect(wrong([needsIdentity, needsIdentity].toSpliced(0, 0, jwt()))).toEqual([
      "plugins: two plugins are named 'roles': remove one, or give it another name",
    ]);
  });

  test('two answers to one SET', () => {
    const answer = (name: string): AnyPlugin => ({ name, inBand: { 'postern.token': () => {} } });
    expect(wrong([answer('a'), answer('b')])).toEqual([
      "plugins: 'b' and 'a' both answer SET postern.token: one of them has to go",
    ]);
  });

  test('a list in order passes, the entries to skip left out', () => {
    const list = [false, jwt(), null, tenant, undefined, needsIdentity];
    expect(checkPlugins(list).map(({ name }) => name)).toEqual(['jwt', 'tenant', 'roles']);
  });
});

describe('scopes', () => {
  test('a plugin of one listener does not provide for all', () => {
    expect(wrong([...only({ listeners: ['public'] }, jwt()), needsIdentity])).toEqual([
      "plugins: 'roles' needs 'identity', but 'jwt' provides it only within its own only(): widen that scope or narrow this one",
    ]);
  });

  test('a plugin of all provides for one listener', () => {
    expect(wrong([jwt(), ...only({ listeners: ['public'] }, needsIdentity)])).toEqual([]);
  });

  test('plugins of the same scope provide for one another', () => {
    expect(wrong(only({ listeners: ['a'], databases: ['x'] }, jwt(), needsIdentity))).toEqual([]);
  });

  test('a provider of one database does not provide for one listener', () => {
    const list = [...only({ databases: ['x'] }, jwt()), ...only({ listeners: ['a'] }, needsIdentity)];
    expect(wrong(list)).toHaveLength(1);
  });

  test('scopes that never meet may have the same name, provide the same fact and answer the same SET', () => {
    const one: AnyPlugin = { ...jwt(), inBand: { 'postern.token': () => {} } };
    const list = [...only({ listeners: ['a'] }, one), ...only({ listeners: ['b'] }, one)];
    expect(wrong(list)).toEqual([]);
  });

  test('scopes that meet somewhere may not', () => {
    const list = [...only({ listeners: ['a'] }, jwt()), ...only({ databases: ['x'] }, jwt('other'))];
    expect(wrong(list)).toHaveLength(1);
  });
});
