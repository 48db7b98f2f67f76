/** Keys that operators have dropped, as each worker of each instance hears of it: which of them asks for new ones. */
import { expect, test } from 'vitest';
import type { Fleet } from '../../core/index.ts';
import type { KeyStore } from '../../plugins/jwt/key-store.ts';
import { PurgedKeys } from '../../plugins/jwt/purged-keys.ts';
import type { PurgeTold } from '../../plugins/jwt/purged-keys.ts';
import { BoardCopy } from '../../core/workers/board-copy.ts';
import { boardOf } from '../../core/workers/board-view.ts';
import type { Board } from '../../core/index.ts';

const ISSUER = 'https://id.example';
const told = (instance: string, id = '1'): PurgeTold => ({ at: Date.now(), instance, id });

/** A worker of the instance `own` with one store, and what that was told to do. */
function worker({ isShared = true } = {}) {
  const copy = new BoardCopy();
  const board = boardOf(copy, (entry) =>
    Promise.resolve(copy.apply(entry)).then(() => true),
  ) as Board<PurgeTold>;
  const done: string[] = [];
  let problem: string | undefined;
  const store = {
    issuer: ISSUER,
    maxStaleMs: 1_000,
    isShared,
    drop() {
      done.push('drop');
      problem = 'no keys';
    },
    purge() {
      done.push('purge');
      problem = undefined;
      return Promise.resolve();
    },
    problem: () => problem,
  } as unknown as KeyStore;
  const make = (): PurgedKeys => new PurgedKeys(board, { fleet: { id: 'own' } as Fleet });
  const storesOf = (issuer: string): readonly KeyStore[] => (issuer === ISSUER ? [store] : []);
  return { copy, board, done, make, storesOf };
}

test('keys that workers share are dropped by each worker, and asked for by the lead alone', async () => {
  const { board, done, make, storesOf } = worker();
  const keys = make();
  keys.open(storesOf);
  await board.put(ISSUER, told('other'));
  expect(done).toEqual(['drop']);
  keys.lead();
  expect(done).toEqual(['drop', 'purge']);
  await board.put(ISSUER, told('other', '2'));
  expect(done).toEqual(['drop', 'purge', 'drop', 'purge']);
});

test('those that another worker of this gateway has dropped are asked for by that one', async () => {
  const { board, done, make, storesOf } = worker();
  const keys = make();
  keys.open(storesOf);
  keys.lead();
  await board.put(ISSUER, told('own'));
  expect(done).toEqual(['drop']);
});

test.each(['own', 'other'])(
  'those that each worker reads for itself it reads anew (dropped at %s)',
  async (instance) => {
    const { board, done, make, storesOf } = worker({ isShared: false });
    const keys = make();
    keys.open(storesOf);
    keys.lead();
    await board.put(ISSUER, told(instance));
    expect(done).toEqual(['purge']);
  },
);

test('one purge is heard once: after a reload, and where the board is read anew', async () => {
  const { copy, board, done, make, storesOf } = worker();
  await board.put(ISSUER, told('other'));
  const keys = make();
  const close = keys.open(storesOf);
  keys.lead();
  copy.replace(copy.entries);
  close();
  keys.open(storesOf);
  expect(done).toEqual([]);
  expect(await keys.purge(ISSUER)).toEqual([]);
  copy.replace(copy.entries);
  expect(done).toEqual(['drop', 'purge']);
});

test('one that came while nobody listened is heard of later', async () => {
  const { board, done, make, storesOf } = worker();
  const keys = make();
  await board.put(ISSUER, told('other'));
  keys.open(storesOf);
  expect(done).toEqual(['drop']);
});

test('kept keys are too old where they may have been fetched before it', async () => {
  const { board, make, storesOf } = worker();
  const keys = make();
  keys.open(storesOf);
  expect(keys.isOf(ISSUER, Infinity)).toBe(false);
  await board.put(ISSUER, { ...told('other'), at: Date.now() - 3_600_000 });
  expect([keys.isOf(ISSUER, 3_700_000), keys.isOf(ISSUER, 3_580_000), keys.isOf(ISSUER, 0)]).toEqual([
    true,
    true,
    false,
  ]);
});
