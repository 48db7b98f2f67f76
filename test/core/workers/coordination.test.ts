/** Boards, places and post: the same promises in each home, this process and the parent process. */
import { afterEach, describe, expect, test } from 'vitest';
import type { BoardChange } from '../../../core/contract/board.ts';
import type { Coordination } from '../../../core/workers/coordination.ts';
import { SingleProcess } from '../../../core/workers/single-process.ts';
import { linkWorkers } from '../../support/worker-links.ts';

const closing: (() => void)[] = [];
afterEach(() => {
  for (const close of closing.splice(0)) close();
});

function single(): readonly Coordination[] {
  const one = new SingleProcess();
  closing.push(() => one.close());
  return [one, one];
}

function linked(): readonly Coordination[] {
  const { links, close } = linkWorkers(3);
  closing.push(close);
  return links;
}

describe.each([
  ['this process', single],
  ['the parent process', linked],
])('in %s', (_, make) => {
  test('a value that one worker has put is with all others when the put resolves', async () => {
    const boards = await Promise.all(make().map((worker) => worker.board('b')));
    const [first] = boards;
    expect(await first?.put('ada', { why: 'left' })).toBe(true);
    for (const board of boards) expect(board.get('ada')).toEqual({ why: 'left' });
    await boards.at(-1)?.drop('ada');
    for (const board of boards) expect(board.all().size).toBe(0);
  });

  test('a board that is opened later has what was put before', async () => {
    const [first, second] = make();
    await (await first?.board('b'))?.put('a', 1);
    expect((await second?.board('b'))?.all()).toEqual(new Map([['a', 1]]));
  });

  test('of two that put with the same expectation, one succeeds', async () => {
    const boards = await Promise.all(make().map((worker) => worker.board('b')));
    const done = await Promise.all(
      boards.map((board, index) => board.put('a', index, { expected: undefined })),
    );
    expect(done.filter(Boolean)).toHaveLength(1);
    const winner = done.indexOf(true);
    for (const board of boards) expect(board.get('a')).toBe(winner);
    expect(await boards[0]?.put('a', 'next', { expected: winner })).toBe(true);
    expect(await boards[0]?.put('a', 'late', { expected: winner })).toBe(false);
  });

  test('a value leaves the board when its time is over, and watchers hear of it', async () => {
    const boards = await Promise.all(make().map((worker) => worker.board('b')));
    const heard: BoardChange<unknown>[] = [];
    boards.at(-1)?.watch((change) => heard.push(change));
    await boards[0]?.put('a', 1, { until: Date.now() + 40 });
    await expect.poll(() => boards.map((board) => board.all().size)).toEqual(boards.map(() => 0));
    expect(heard).toEqual([
      { kind: 'put', id: 'a', value: 1 },
      { kind: 'dropped', id: 'a' },
    ]);
  });

  test('places are never taken above the limit, all or none, and are free when given back', async () => {
    const workers = make();
    const take = async (index: number): Promise<string | undefined> =>
      workers[index % workers.length]?.places.take([{ key: 'subject', limit: 5 }, { key: 'all' }]);
    const taken = await Promise.all(Array.from({ length: 30 }, (__, index) => take(index)));
    expect(taken.filter((full) => full === undefined)).toHaveLength(5);
    expect(taken.filter((full) => full === 'subject')).toHaveLength(25);
    const [first] = workers;
    const all = await first?.places.take([{ key: 'all', limit: 6 }]);
    expect(all).toBe(undefined);
    expect(await first?.places.take([{ key: 'all', limit: 6 }])).toBe('all');
  });

  test('a question is answered by those it is for', async () => {
    const workers = make();
    const distinct = [...new Set(workers)];
    for (const { worker, post } of distinct) post.answer('who', (body) => ({ worker, body }));
    const [first] = distinct;
    expect(await first?.post.ask('all', 'who', 'x')).toEqual(
      distinct.map(({ worker }) => ({ worker, body: { worker, body: 'x' } })),
    );
    expect(await first?.post.ask('lead', 'who')).toMatchObject([{ worker: 1 }]);
    expect(await first?.post.ask('others', 'who')).toHaveLength(distinct.length - 1);
    expect(await first?.post.ask(99, 'who')).toEqual([]);
    expect(await first?.post.ask('lead', 'nothing')).toEqual([
      { worker: 1, error: 'it does not answer this question' },
    ]);
  });

  test('an answer that does not come is waited for no longer than asked', async () => {
    const workers = make();
    workers[0]?.post.answer('slow', () => new Promise(() => {}));
    workers[0]?.post.answer('bad', () => {
      throw new Error('not today');
    });
    expect(await workers[1]?.post.ask('lead', 'slow', null, { withinMs: 20 })).toEqual([
      { worker: 1, error: 'it did not answer in time' },
    ]);
    expect(await workers[1]?.post.ask('lead', 'bad')).toEqual([{ worker: 1, error: 'not today' }]);
  });
});

test('what a worker held is free when it dies, and nobody waits for it', async () => {
  const { hub, links, kill, close } = linkWorkers(3);
  closing.push(close);
  const [first, second, third] = links;
  const boards = await Promise.all(links.map((link) => link.board('b')));
  await third?.places.take([{ key: 'k', limit: 1 }]);
  third?.post.answer('who', () => 3);
  const put = boards[0]?.put('a', 1);
  const asked = second?.post.ask('all', 'who');
  expect(await first?.places.take([{ key: 'k', limit: 1 }])).toBe('k');
  kill(3);
  expect(await put).toBe(true);
  expect(await asked).toContainEqual({ worker: 3, error: 'it has ended' });
  expect(await first?.places.take([{ key: 'k', limit: 1 }])).toBe(undefined);
  let lead = 0;
  second?.whenLead(() => (lead = 2));
  kill(1);
  await expect.poll(() => lead).toBe(2);
  expect(hub.workers.lead).toBe(2);
});

test('an order to reload reaches the parent once, and the worker that gave it hears how it ended', async () => {
  const heard: string[] = [];
  let broken = false;
  const { links, close } = linkWorkers(2, {
    async reload() {
      heard.push('reload');
      if (broken) throw new Error('databases: unknown option');
    },
    shutDown: (after) => void heard.push(`shut down after ${after ?? 'nothing'}`),
  });
  closing.push(close);
  await links[1]?.parent.reload();
  broken = true;
  await expect(links[1]?.parent.reload()).rejects.toThrow('databases: unknown option');
  links[0]?.parent.shutDown('clients');
  await expect(links[0]?.parent.reload()).rejects.toThrow();
  expect(heard).toEqual(['reload', 'reload', 'shut down after clients', 'reload']);
});

test('an order to reload whose parent is gone fails', async () => {
  const { links, close } = linkWorkers(1, { reload: () => new Promise(() => {}), shutDown() {} });
  const asked = links[0]?.parent.reload();
  close();
  await expect(asked).rejects.toThrow('the parent process is gone');
});

test('a worker that is closed gives no board, whether it was asked for before or is asked for now', async () => {
  const { links, hang, close } = linkWorkers(1);
  hang(1);
  const before = links[0]?.board('b');
  close();
  await expect(before).rejects.toThrow('the gateway stops');
  await expect(links[0]?.board('b')).rejects.toThrow('the gateway stops');
  await expect(links[0]?.board('c')).rejects.toThrow('the gateway stops');
  await expect(links[0]?.places.take([{ key: 'k', limit: 1 }])).rejects.toThrow('the gateway stops');
  expect(await links[0]?.post.ask('all', 'who')).toEqual([]);
});
