/** No regular expression of the sources takes more than proportional time, whatever text it is given. */
import { expect, test } from 'vitest';
import { describe, grewTooMuch, slowest } from './support/slowest.ts';
import type { Tried } from './support/slowest.ts';
import { patternsIn } from './support/source-patterns.ts';
import { source, sourcesIn } from './support/source-tree.ts';
import { worstInputs } from './support/worst-inputs.ts';

/** A machine that is busy with something else takes its time. */
const PATIENCE = { timeout: 600_000 };

/** All of the text is looked at, as `replace`, `split` and `matchAll` do; else up to the first match. */
const use = (expression: RegExp) => (text: string) => {
  if (!expression.global) return expression.test(text);
  expression.lastIndex = 0;
  for (let before = -1; expression.test(text); before = expression.lastIndex)
    if (expression.lastIndex === before) expression.lastIndex += 1;
  return true;
};

const worstFor = (expression: RegExp): readonly Tried[] => slowest(use(expression), worstInputs(expression));

test('what takes quadratic time is recognised', PATIENCE, () => {
  const bad = [
    /\s+$/,
    /^set\s*x?\s*;/,
    /^a'[^']*'\s*;?\s*$/,
    /^set\s+x[^;]*;?\s*$/,
    /(?:"[^"]*)+!/,
    /\/\*.*\*\//s,
    /^b_\w+_b_\w+$/,
    /%.*$/,
    /\s*\.\s*/g,
  ];
  expect(bad.filter((expression) => !grewTooMuch(worstFor(expression)))).toEqual([]);
});

test('what takes proportional time is not taken for quadratic', PATIENCE, () => {
  const good = [/^\s+$/, /^set\s*(?:x\s*)?;/, /^a'[^']*'\s*(?:;\s*)?$/, /\d{1,9}x/g, /a|b/];
  expect(good.filter((expression) => grewTooMuch(worstFor(expression)))).toEqual([]);
});

test('literals are found wherever they stand, and built expressions where they are constants of their module', async () => {
  const text = "export const f = (a: string) => [a.replace(/b/g, 'c'), a.split(/d+/u), /e/.test(a)];";
  const found = await patternsIn([source('core/made-up.ts', text)]);
  expect(found.map(({ expression }) => String(expression))).toEqual(['/b/g', '/d+/u', '/e/']);
  const late = 'export const f = (a: string) => new RegExp(a);';
  await expect(patternsIn([source('core/contract/names.ts', late)])).rejects.toThrow(
    /in a constant of the module/,
  );
});

test('no pattern of the sources takes more than proportional time', PATIENCE, async () => {
  const patterns = await patternsIn(
    ['core', 'plugins', 'examples/demo', 'test/support/embedded'].flatMap(sourcesIn),
  );
  expect(patterns.length).toBeGreaterThan(100);
  const all = patterns.map(({ place, expression }) => {
    const tried = worstFor(expression);
    return { row: `${place} ${String(expression)}\n    ${describe(tried)}`, bad: grewTooMuch(tried) };
  });
  if (process.env['POSTERN_FIGURES'] === '1') console.log(all.map(({ row }) => row).join('\n'));
  expect(all.filter(({ bad }) => bad).map(({ row }) => row)).toEqual([]);
});
