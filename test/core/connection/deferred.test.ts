/** Functions that plugins have deferred to the end of a session. */
import { expect, test } from 'vitest';
import { Deferred } from '../../../core/connection/deferred.ts';
import type { Logger } from '../../../core/contract/session.ts';

function deferring(): { readonly deferred: Deferred; readonly logged: unknown[] } {
  const logged: unknown[] = [];
  const log = { error: (fields: unknown) => logged.push(fields) } as unknown as Logger;
  return { deferred: new Deferred(log), logged };
}

test('they run when the session is over, each once, the latest first, one after the other', async () => {
  const { deferred } = deferring();
  const ran: string[] = [];
  deferred.add(async () => {
    await new Promise(setImmediate);
    ran.push('first');
  });
  deferred.add(() => void ran.push('second'));
  expect(ran).toEqual([]);
  await deferred.run();
  await deferred.run();
  expect(ran).toEqual(['second', 'first']);
});

test('one that throws or rejects is logged, and the others run', async () => {
  const { deferred, logged } = deferring();
  let ran = 0;
  deferred.add(() => void (ran += 1));
  deferred.add(() => Promise.reject(new Error('no such lease')));
  deferred.add(() => {
    throw new Error('not there');
  });
  await deferred.run();
  expect(ran).toBe(1);
  expect(JSON.stringify(logged)).toMatch(/not there.*no such lease/);
});

test('one that comes after the end runs at once', async () => {
  const { deferred, logged } = deferring();
  await deferred.run();
  let ran = false;
  deferred.add(() => void (ran = true));
  expect(ran).toBe(true);
  deferred.add(() => Promise.reject(new Error('late')));
  await new Promise(setImmediate);
  expect(logged).toHaveLength(1);
});
