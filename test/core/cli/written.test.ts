/** Texts of configs that commands write: they mean what was given, whatever that is, and are formatted. */
import { runInNewContext } from 'node:vm';
import * as fc from 'fast-check';
import { check, format } from 'prettier';
import { expect, test } from 'vitest';
import { configText } from '../../../core/cli/written/config-text.ts';
import {
  Expression,
  Members,
  call,
  commentLines,
  fromEnv,
  sourceOf,
} from '../../../core/cli/written/source.ts';
import type { Value } from '../../../core/cli/written/source.ts';
import { Variables } from '../../../core/cli/written/variables.ts';

const evaluated = (source: string): unknown => runInNewContext(`JSON.stringify(${source})`);

test('a value evaluates to itself, whatever its texts have in them', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.constantFrom("'", '"', '\\', '\u2028', '*/', '\n', '${x}', '__proto__'),
  );
  const { value } = fc.letrec<{ value: Value }>((tie) => ({
    value: fc.oneof(
      { depthSize: 'small' },
      text,
      fc.integer(),
      fc.boolean(),
      fc.array(tie('value')),
      fc.dictionary(text, tie('value')),
    ),
  }));
  fc.assert(
    fc.property(value, (given) => {
      expect(evaluated(sourceOf(given))).toBe(JSON.stringify(given));
      expect(evaluated(call('((x) => x)', given).text)).toBe(JSON.stringify(given));
    }),
  );
});

test('a comment ends at no line break, and goes with its member', () => {
  expect(commentLines(['a\nb', ''], ' ')).toEqual([' // a b', ' //']);
  const source = sourceOf(
    new Members([
      { name: 'a', value: 1, above: ['one\r\n} evil'] },
      { name: 'b', value: undefined, above: ['gone'] },
      { name: 'c-d', value: fromEnv('X') },
      { name: 'e', value: new Expression('2 + 2') },
    ]),
  );
  expect(source).toBe("{\n  // one } evil\n  a: 1,\n  'c-d': env('X'),\n  e: 2 + 2,\n}");
});

test('a config is formatted as its repository is', async () => {
  const many = Array.from({ length: 12 }, (_, number) => `role_of_many_${number}`);
  const entry = {
    host: 'db.example',
    login: { kind: 'password', passwords: Object.fromEntries(many.map((role) => [role, fromEnv(role)])) },
  };
  const text = configText({
    about: 'A config.',
    remarks: ['One.', 'Two.'],
    listen: [
      { name: 'a', port: 1 },
      { name: 'b', path: '/run' },
    ],
    databases: new Members([{ name: 'my db', value: entry, above: ['Mine.'] }]),
    plugins: [
      {
        folder: 'roles',
        factory: 'roles',
        source: call('roles', { claim: 'role', allow: many }),
        above: ['x'],
      },
      { folder: 'limits', factory: 'limits', source: call('limits', undefined) },
    ],
    more: [{ name: 'loginTimeout', value: '60s' }],
  });
  const how = { parser: 'typescript', printWidth: 110, singleQuote: true } as const;
  expect(await format(text, how)).toBe(text);
  expect(await check(text, how)).toBe(true);
});

test('each secret has one variable, and no two have the same', () => {
  const names = new Variables();
  expect(names.for('a', 'shop')).toBe('SHOP_PASSWORD');
  expect(names.for('a', 'shop')).toBe('SHOP_PASSWORD');
  expect(names.for('b', 'Shop')).toBe('SHOP_PASSWORD_2');
  expect(names.for('c', '1-é@x')).toBe('_1_X_PASSWORD');
  expect(names.names).toEqual(['SHOP_PASSWORD', 'SHOP_PASSWORD_2', '_1_X_PASSWORD']);
});
