import { expect, test } from 'vitest';
import { Turns } from '../../../core/upstream/pool/turns.ts';

interface Named {
  readonly name: string;
  readonly owner: { readonly fingerprint: string };
}

/** A queue of names such as `a1`: the letter is the identity. */
function queue(...names: readonly string[]): { turns: Turns<Named>; next: () => string | undefined } {
  const turns = new Turns<Named>();
  for (const name of names) turns.add({ name, owner: { fingerprint: name.charAt(0) } });
  const next = (): string | undefined => {
    const [first] = turns.inTurn();
    if (first) turns.remove(first, true);
    return first?.name;
  };
  return { turns, next };
}

const names = (turns: Turns<Named>): string[] => Array.from(turns.inTurn(), ({ name }) => name);

test('identities take turns; within one it is first come, first served', () => {
  const { turns, next } = queue('a1', 'a2', 'a3', 'b1', 'c1', 'b2');
  expect(names(turns)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
  expect([next(), next(), next(), next(), next(), next(), next()]).toEqual([
    'a1',
    'b1',
    'c1',
    'a2',
    'b2',
    'a3',
    undefined,
  ]);
});

test('a thousand of one identity do not keep another one waiting for more than one turn', () => {
  const { turns, next } = queue(...Array.from({ length: 1000 }, (_, i) => `a${i}`));
  expect(next()).toBe('a0');
  turns.add({ name: 'b', owner: { fingerprint: 'b' } });
  expect([next(), next()]).toEqual(['a1', 'b']);
});

test('whoever leaves loses only their own place, and their identity keeps its turn', () => {
  const { turns } = queue('a1', 'b1', 'a2', 'b2');
  const [first] = turns.inTurn();
  if (first) turns.remove(first, false);
  expect(names(turns)).toEqual(['a2', 'b1', 'b2']);
  if (first) turns.remove(first, false);
  expect(turns.size).toBe(3);
});

test('the oldest is who came first, whatever turns there are', () => {
  const { turns, next } = queue('a1', 'b1', 'a2');
  expect(turns.oldest?.name).toBe('a1');
  expect(turns.all().map(({ name }) => name)).toEqual(['a1', 'b1', 'a2']);
  next();
  expect(turns.oldest?.name).toBe('b1');
});
