/** Many who want a proof at once share one that began after each of them had asked. */
import { expect, test } from 'vitest';
import type { FleetProof } from '../../core/index.ts';
import { FleetProofs } from '../../plugins/jwt/fleet-proofs.ts';

test('who asks while a proof is under way shares the next one', async () => {
  const running: ((proof: FleetProof) => void)[] = [];
  const proof = (): Promise<FleetProof> => new Promise((resolve) => void running.push(resolve));
  const proofs = new FleetProofs({ proof }, 'board');
  const heard: number[] = [];
  const ask = (): Promise<unknown> => proofs.ask().then(({ live }) => heard.push(live));
  const all = [ask(), ask(), ask()];
  expect(running).toHaveLength(1);
  running[0]?.({ live: 1, missing: [] });
  await all[0];
  await expect.poll(() => running.length).toBe(2);
  all.push(ask());
  expect(heard).toEqual([1]);
  running[1]?.({ live: 2, missing: [] });
  await expect.poll(() => heard).toEqual([1, 2, 2]);
  await expect.poll(() => running.length).toBe(3);
  running[2]?.({ live: 3, missing: [] });
  await Promise.all(all);
  expect(heard).toEqual([1, 2, 2, 3]);
  const last = ask();
  await expect.poll(() => running.length).toBe(4);
  running[3]?.({ live: 4, missing: [] });
  await last;
});
