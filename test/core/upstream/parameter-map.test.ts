/** Equal parameters are known as equal at a look, different ones never are. */
import { array, assert, boolean, constantFrom, nat, property, tuple } from 'fast-check';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { ParameterMap, areEqual } from '../../../core/upstream/parameter-map.ts';

const names = constantFrom('TimeZone', 'DateStyle', 'application_name');
const values = constantFrom('', 'UTC', 'ISO, MDY', '"', '["TimeZone"]');
const steps = array(tuple(boolean(), constantFrom('set', 'set', 'set', 'delete', 'clear'), names, values));

test('two sets of parameters are equal at a look exactly when every value is equal, whatever was done to them', () => {
  assert(
    property(steps, (all) => {
      const pair = [new ParameterMap(), new ParameterMap([['TimeZone', 'UTC']])] as const;
      for (const [first, what, name, value] of all) {
        const one = pair[first ? 0 : 1];
        if (what === 'set') one.set(name, value);
        else if (what === 'delete') one.delete(name);
        else one.clear();
        const plain = pair.map((each) => [...each].toSorted(([a], [b]) => (a < b ? -1 : 1)));
        expect(areEqual(pair[0], pair[1])).toBe(JSON.stringify(plain[0]) === JSON.stringify(plain[1]));
      }
    }),
    { numRuns: 2_000 },
  );
});

test('a copy, and the copy of a copy, are changed without the others', () => {
  const change = tuple(nat(5), constantFrom('set', 'set', 'copy', 'delete', 'clear'), names, values);
  assert(
    property(array(change), (all) => {
      const pairs = [{ one: new ParameterMap(), model: new Map<string, string>() }];
      for (const [which, what, name, value] of all) {
        const { one, model } = pairs[which % pairs.length] ?? { one: new ParameterMap(), model: new Map() };
        if (what === 'copy') pairs.push({ one: new ParameterMap(one), model: new Map(model) });
        else
          for (const each of [one, model]) {
            if (what === 'set') each.set(name, value);
            else if (what === 'delete') each.delete(name);
            else each.clear();
          }
        for (const pair of pairs) {
          expect([...pair.one]).toEqual([...pair.model]);
          expect(pair.one.content).toBe(new ParameterMap(pair.model).content);
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('more contents than are remembered cost a comparison, and are never taken for equal', () => {
  const one = new ParameterMap([['application_name', 'first']]);
  const { content } = one;
  const others = Array.from({ length: 1_500 }, (_, i) => new ParameterMap([['application_name', String(i)]]));
  expect(new Set(others.map((each) => each.content)).size).toBe(1_500);
  expect(others.some((each) => areEqual(each, one))).toBe(false);
  expect(one.content).toBe(content);
});

test('maps without a content are compared value by value', () => {
  expect(areEqual(new Map(), new Map())).toBe(false);
});

test('values that clients choose are not kept where equal parameters are known', () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const heap = (): number => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  const [count, length] = [500, 100_000];
  const before = heap();
  const numbers = new Set<number>();
  for (let i = 0; i < count; i += 1)
    numbers.add(new ParameterMap([['application_name', `${i}`.padEnd(length, 'x')]]).content);
  expect(numbers.size).toBe(count);
  expect(heap() - before).toBeLessThan((count * length) / 4);
});
