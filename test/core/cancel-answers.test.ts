import { expect, test } from 'vitest';
import { CANCEL, FIND, answerCancels, bodyOf } from '../../core/connection/cancel-answers.ts';
import { CancelKeys } from '../../core/connection/cancel-keys.ts';
import type { Post } from '../../core/contract/post.ts';

type Answer = Parameters<Post['answer']>[1];

/** A worker with one session, and what other workers ask of it. */
function answering() {
  const answers = new Map<string, Answer>();
  const keys = new CancelKeys();
  const time = { now: 0 };
  const post = {
    answer(name: string, answer: Answer) {
      answers.set(name, answer);
      return () => {};
    },
  };
  answerCancels(keys, post, () => time.now);
  const session = { hits: 0, cancel: () => Promise.resolve(void (session.hits += 1)) };
  const key = keys.issue(2, session);
  const ask = (name: string, body: unknown): unknown => answers.get(name)?.(body, 2);
  return { keys, key, session, time, ask };
}

test('finding a key cancels nothing, however late it is found: the client may have run another statement since', async () => {
  const { key, session, ask } = answering();
  expect(ask(FIND, bodyOf(key))).toBe(1);
  expect(session.hits).toBe(0);
  await ask(CANCEL, 1);
  expect(session.hits).toBe(1);
});

test('a cancel that is read two seconds after its key was found, or for the second time, hits nothing', async () => {
  const { key, session, time, ask } = answering();
  const [late, intime] = [ask(FIND, bodyOf(key)), ask(FIND, bodyOf(key))];
  time.now = 2_000;
  await ask(CANCEL, intime);
  expect(session.hits).toBe(1);
  await ask(CANCEL, intime);
  time.now = 2_001;
  await ask(CANCEL, late);
  expect(session.hits).toBe(1);
});

test('a cancel of a session that has ended meanwhile hits nothing', async () => {
  const { keys, key, session, ask } = answering();
  const number = ask(FIND, bodyOf(key));
  keys.revoke(key);
  await ask(CANCEL, number);
  expect(session.hits).toBe(0);
  expect(ask(FIND, bodyOf(key))).toBeUndefined();
});

test('what is no key, and no number, is answered by nothing', async () => {
  const { key, session, ask } = answering();
  const [processId, secret] = bodyOf(key) as [number, string];
  for (const body of [
    undefined,
    null,
    7,
    [],
    [processId],
    [secret, processId],
    [processId, secret.slice(2)],
    {},
  ])
    expect(ask(FIND, body)).toBeUndefined();
  for (const number of [undefined, null, 0, 1, '1', {}]) await ask(CANCEL, number);
  expect(session.hits).toBe(0);
});
