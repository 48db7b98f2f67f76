import { expect, test } from 'vitest';
import { WaitingClients } from '../../../core/upstream/pool/waiting-clients.ts';

interface Named {
  readonly name: string;
  readonly owner: { readonly fingerprint: string };
  readonly since: number;
}

/** A queue of names such as `a1`: the letter is the identity. */
function queue(...names: readonly string[]): {
  waiting: WaitingClients<Named>;
  next: () => string | undefined;
} {
  const waiting = new WaitingClients<Named>();
  for (const [since, name] of names.entries())
    waiting.add({ name, owner: { fingerprint: name.charAt(0) }, since });
  const next = (): string | undefined => {
    const first = waiting.next;
    expect(first).toBe([...waiting.inTurn()][0]);
    if (first) waiting.remove(first, true);
    return first?.name;
  };
  return { waiting, next };
}

const names = (waiting: WaitingClients<Named>): string[] => Array.from(waiting.inTurn(), ({ name }) => name);

test('identities take turns; within one it is first come, first served', () => {
  const { waiting, next } = queue('a1', 'a2', 'a3', 'b1', 'c1', 'b2');
  expect(names(waiting)).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3']);
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
  const { waiting, next } = queue(...Array.from({ length: 1000 }, (_, i) => `a${i}`));
  expect(next()).toBe('a0');
  waiting.add({ name: 'b', owner: { fingerprint: 'b' }, since: 1000 });
  expect([next(), next()]).toEqual(['a1', 'b']);
});

test('whoever leaves loses only their own place, and their identity keeps its turn', () => {
  const { waiting } = queue('a1', 'b1', 'a2', 'b2');
  const [first] = waiting.inTurn();
  if (first) waiting.remove(first, false);
  expect(names(waiting)).toEqual(['a2', 'b1', 'b2']);
  if (first) waiting.remove(first, false);
  expect(waiting.size).toBe(3);
});

test('the oldest is who came first, whatever waiting there are', () => {
  const { waiting, next } = queue('a1', 'b1', 'a2');
  expect(waiting.oldest(() => true)?.name).toBe('a1');
  expect(waiting.oldest(({ name }) => name.startsWith('b'))?.name).toBe('b1');
  expect(waiting.oldest(() => false)).toBeUndefined();
  expect(waiting.all().map(({ name }) => name)).toEqual(['a1', 'b1', 'a2']);
  next();
  expect(waiting.oldest(() => true)?.name).toBe('b1');
});

test('one that comes back comes after all others, and is not the oldest', () => {
  const { waiting } = queue('a1', 'b1', 'a2');
  const first = waiting.next;
  if (first) waiting.remove(first, true);
  if (first) waiting.add({ ...first, since: 3 });
  expect(waiting.oldest(() => true)?.name).toBe('b1');
  expect(names(waiting)).toEqual(['b1', 'a2', 'a1']);
});
