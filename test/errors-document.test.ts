/** core/errors.md has every SQLSTATE that the gateway and its plugins send, and no other as theirs. */
import { expect, test } from 'vitest';
import { SQLSTATES } from '../core/contract/errors.ts';
import { documentAt, table } from './support/markdown.ts';
import { sourcesIn } from './support/source-tree.ts';

const page = documentAt('core/errors.md');
const [ours = '', others = ''] = page.text.split('## Only from PostgreSQL');
const rows = table(page, 'Errors').map(
  ([state = '', condition = '']) => [/\w{5}/.exec(state)?.[0] ?? '', condition.replaceAll('`', '')] as const,
);
const known: Readonly<Record<string, string>> = SQLSTATES;
/** Conditions that some source of core or of a plugin names as those of an error. */
const sent = new Set(
  [...sourcesIn('core'), ...sourcesIn('plugins')]
    .filter(({ path }) => path !== 'core/contract/errors.ts')
    .flatMap(({ code }) => [...code.matchAll(/'(\w+)'/g)].map(([, name = '']) => name))
    .filter((name) => Object.hasOwn(known, name)),
);
/** Named in the sources for another reason than to send it: it is compared with, or passed on from PostgreSQL. */
const COMPARED = ['crash_shutdown'];

test('every condition of the table has its own SQLSTATE', () => {
  expect(rows.length).toBeGreaterThan(25);
  expect(rows.filter(([state, condition]) => known[condition] !== state)).toEqual([]);
});

test('the table, the headings and what the sources send are the same', () => {
  const headings = [...ours.matchAll(/^### (\w{5})$/gm)].map(([, state = '']) => state);
  expect(headings).toEqual(rows.map(([state]) => state));
  const wanted = [...sent].filter((condition) => !COMPARED.includes(condition));
  expect(rows.map(([, condition]) => condition).sort()).toEqual(wanted.sort());
});

test('every other condition that a plugin may send is named at the end', () => {
  const named = [...others.matchAll(/^- (\w{5}) `(\w+)`/gm)].map(([, state, condition]) => [
    state,
    condition,
  ]);
  const rest = Object.entries(known).filter(([condition]) => !rows.some(([, one]) => one === condition));
  const text = (row: readonly unknown[]): string => row.join(' ');
  expect(named.map(text).toSorted()).toEqual(
    rest.map(([condition, state]) => `${state} ${condition}`).toSorted(),
  );
});

test('every SQLSTATE in the text is one that the gateway or PostgreSQL sends', () => {
  const states = [...page.text.matchAll(/(?<![\w#.])([0-9][0-9A-Z]{4}|F0000|XX000)(?!\w)/g)].map(
    ([, state = '']) => state,
  );
  expect(states.length).toBeGreaterThan(60);
  expect(states.filter((state) => !Object.values(known).includes(state))).toEqual([]);
});
