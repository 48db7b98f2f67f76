/** Texts that are not read any further: none of the checks that they are spared may apply to them. */
import { array, assert, constantFrom, oneof, pre, property, string } from 'fast-check';
import { expect, test } from 'vitest';
import { effectsOf, mayDiscard } from '../../../core/relay/prepared/prepared-statement.ts';
import {
  hasNoCommandWord,
  mayCreate,
  mayLeaveState,
  mayMakeLasting,
  pinReason,
} from '../../../core/relay/session-state-detection.ts';
import { settingsIn } from '../../../core/relay/settings/setting-names.ts';

/** What a text that is read does: nothing, if the words decide rightly that it need not be read. */
const effectsIn = (text: string): readonly unknown[] => [
  mayLeaveState(text),
  pinReason(text),
  mayCreate(text),
  mayMakeLasting(text),
  settingsIn(text),
  mayDiscard(text),
  effectsOf(text).deallocates.length > 0,
];

const NONE = effectsIn('select 1');

const PIECES =
  `set|SET|reset|discard|deallocate|do|call|create|into|temp|TEMPORARY|table|pg_temp|.|a|x|=|1|;| |\t|\n|--|/*|*/|'|"|$$|
  u&"|pg_advisory_lock|pg_try_advisory_xact_lock|set_config|pg_settings|update|on conflict|nothing|(|)|,|all|local|session|select|
  execute|prepare|explain|begin|_|é|9|insert|with|as|function|schema`.split(/\|(?:\n {2})?/);
const PART = oneof(constantFrom(...PIECES), string({ maxLength: 3 }));

test('a text without a word of a command has none of the effects for which texts are read', () => {
  const texts = array(PART, { maxLength: 12 }).map((parts) => parts.join(''));
  const plain = property(texts, (text) => {
    pre(hasNoCommandWord(text));
    expect(effectsIn(text)).toEqual(NONE);
  });
  assert(plain, { numRuns: 5_000 });
});

test.each([
  'select 1;',
  'select abalance from accounts where id = 1; ',
  'update accounts_set_at = 1',
  "insert into t values ('reset_all')",
  'with recursive callers as (select 1) select * from callers',
])('%s is not read further', (text) => expect(hasNoCommandWord(text)).toBe(true));

test.each(['set a = 1', 'select 1;reset all', '/**/DISCARD ALL', 'call p()', 'do $$$$', 'select U&"x"'])(
  '%s is read',
  (text) => expect(hasNoCommandWord(text)).toBe(false),
);
