import { expect, test } from 'vitest';
import { CancelKeys } from '../../core/connection/cancel-keys.ts';

function counting(): { readonly cancel: () => Promise<void>; readonly count: () => number } {
  let times = 0;
  return { cancel: () => Promise.resolve(void (times += 1)), count: () => times };
}

function raise(): never {
  throw new Error('there is none');
}

test('a key cancels its own session and no other, until it is revoked', async () => {
  const keys = new CancelKeys();
  const [one, other] = [counting(), counting()];
  const key = keys.issue(0, one);
  keys.issue(0, other);
  await keys.present(key.processId, key.secret);
  expect([one.count(), other.count()]).toEqual([1, 0]);
  keys.revoke(key);
  await keys.present(key.processId, key.secret);
  expect(one.count()).toBe(1);
  expect(keys.size).toBe(1);
});

test('secrets have 4 bytes under protocol 3.0 and 32 under 3.2', () => {
  const keys = new CancelKeys();
  expect(keys.issue(0, counting()).secret).toHaveLength(4);
  expect(keys.issue(2, counting()).secret).toHaveLength(32);
});

test('a wrong secret, one of another length and an unknown process id do nothing', async () => {
  const keys = new CancelKeys();
  const owner = counting();
  const { processId, secret } = keys.issue(2, owner);
  const wrong = Buffer.from(secret);
  wrong.writeUInt8(wrong.readUInt8(31) ^ 1, 31);
  await keys.present(processId, wrong);
  await keys.present(processId, secret.subarray(0, 4));
  await keys.present(processId, Buffer.concat([secret, Buffer.of(0)]));
  await keys.present(processId ^ 1, secret);
  expect(owner.count()).toBe(0);
});

test('sessions on two servers may have one process id: the secret says whose it is', async () => {
  const keys = new CancelKeys();
  const sessions = [counting(), counting(), counting()];
  const issued = sessions.map((owner, index) => keys.issue(index === 2 ? 2 : 0, owner, 4711));
  expect(issued.map(({ processId }) => processId)).toEqual([4711, 4711, 4711]);
  expect(keys.size).toBe(3);
  for (const { processId, secret } of issued) await keys.present(processId, secret);
  expect(sessions.map(({ count }) => count())).toEqual([1, 1, 1]);
  keys.revoke(issued[1] ?? raise());
  for (const { processId, secret } of issued) await keys.present(processId, secret);
  expect(sessions.map(({ count }) => count())).toEqual([2, 1, 2]);
  for (const key of issued) keys.revoke(key);
  expect(keys.size).toBe(0);
});

test('no two keys of one process id are the same', () => {
  const keys = new CancelKeys();
  const secrets = Array.from({ length: 2_000 }, () => keys.issue(0, counting(), 1).secret.readUInt32BE());
  expect(new Set(secrets).size).toBe(2_000);
});

test('ten thousand keys have ten thousand process ids, all positive 32-bit integers that no server process has', () => {
  const keys = new CancelKeys();
  const ids = Array.from({ length: 10_000 }, () => keys.issue(0, counting()).processId);
  expect(new Set(ids).size).toBe(10_000);
  expect(ids.every((id) => id > 4_194_304 && id <= 0x7fffffff)).toBe(true);
});

test('a thousand secrets are a thousand, and keep their bytes when more are drawn', () => {
  const keys = new CancelKeys();
  const issued = Array.from({ length: 1_000 }, () => keys.issue(2, counting()).secret);
  const before = issued.map((secret) => secret.toString('hex'));
  for (let i = 0; i < 1_000; i += 1) keys.issue(2, counting());
  expect(issued.map((secret) => secret.toString('hex'))).toEqual(before);
  expect(new Set(before).size).toBe(1_000);
  expect(before.some((hex) => hex.includes('0'.repeat(32)))).toBe(false);
});
