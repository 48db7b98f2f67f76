/** The file of revocations: what is in it already is not written again. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { RevocationFile } from '../../plugins/jwt/revocation-file.ts';

test('what is kept as it is gets no second line, and what is gone neither', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-revocations-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const path = join(folder, 'r.jsonl');
  const file = new RevocationFile(path);
  await file.load();
  const lines = async (): Promise<number> => (await readFile(path, 'utf8')).split('\n').length - 1;
  const revocation = { id: 'a', what: { tokenId: 'a' }, at: 1, until: Date.now() + 60_000 };
  await Promise.all([file.add(revocation), file.add({ ...revocation })]);
  expect(await lines()).toBe(1);
  await file.add({ ...revocation, until: revocation.until + 1 });
  expect(await lines()).toBe(2);
  await Promise.all([file.remove('a'), file.remove('a')]);
  expect(await lines()).toBe(3);
});
