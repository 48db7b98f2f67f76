/** How long an answer about a database's functions is believed. */
import { expect, test } from 'vitest';
import { FunctionCatalog } from '../../../core/upstream/function-catalog.ts';
import { BELIEVED_MS, KnownFunctions } from '../../../core/upstream/known-functions.ts';
import { MOST_DATABASES, schemaChangesOf } from '../../../core/upstream/schema-changes.ts';

let now = 0;
let databases = 0;
const known = (database = `database ${(databases += 1)}`): KnownFunctions =>
  new KnownFunctions(schemaChangesOf(database), { now: () => now });
const { unknown } = FunctionCatalog;
const answer = FunctionCatalog.of([]);

/** Asks, and is answered; whether a question was due. */
function ask(one: KnownFunctions, catalog = answer): boolean {
  const question = one.question();
  if (question) one.learn(question, catalog);
  return question !== undefined;
}

test('nothing is known at first, and the answer counts from the time of the question', () => {
  const one = known();
  expect(one.catalog).toBe(unknown);
  const question = one.question();
  if (!question) throw new Error('no question');
  expect(one.question()).toBe(undefined);
  now += 400;
  one.learn(question, answer);
  expect(one.catalog).toBe(answer);
  now += BELIEVED_MS - 401;
  expect([one.catalog, one.question()]).toEqual([answer, undefined]);
  now += 1;
  expect(one.catalog).toBe(unknown);
  expect(ask(one)).toBe(true);
});

test('a question without an answer, or with one that says nothing, is asked again', () => {
  const one = known();
  one.question();
  now += 1_000;
  expect(ask(one, unknown)).toBe(true);
  expect(ask(one)).toBe(false);
  now += 1_000;
  expect(ask(one)).toBe(true);
});

test('a change outdates what is known, in each pool of the database', () => {
  const [one, same, other] = [known('shared'), known('shared'), known()];
  for (const each of [one, same, other]) ask(each);
  schemaChangesOf('shared').functionsChanged();
  expect([one.catalog, same.catalog, other.catalog]).toEqual([unknown, unknown, answer]);
  expect([ask(one), ask(same), ask(other)]).toEqual([true, true, false]);
});

test('an answer to a question from before a change is not believed, whenever it comes', () => {
  const one = known('asked early');
  const [early, more] = [one.question(), FunctionCatalog.of([['state', 'all']])];
  schemaChangesOf('asked early').functionsChanged();
  const late = one.question();
  if (!early || !late) throw new Error('no question');
  one.learn(early, answer);
  expect(one.catalog).toBe(unknown);
  one.learn(late, more);
  one.learn(early, answer);
  expect(one.catalog).toBe(more);
});

test('an answer is the same object until it changes: statements are read again only then', () => {
  const one = known();
  ask(one);
  expect(one.catalog).toBe(one.catalog);
});

test('names of databases, which clients may choose, are remembered up to a number; all others outdate each other', () => {
  const first = known('first of many');
  for (let i = 0; i < MOST_DATABASES; i += 1) known(`chosen ${i}`);
  const [one, other] = [known('one too many'), known('another')];
  for (const each of [first, one, other]) ask(each);
  schemaChangesOf('one too many').functionsChanged();
  expect([first.catalog, one.catalog, other.catalog]).toEqual([answer, unknown, unknown]);
});
