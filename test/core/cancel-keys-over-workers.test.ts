import { expect, test } from 'vitest';
import { cancelKeysOver } from '../../core/connection/cancel-forwarding.ts';
import { idOf, issuerOf } from '../../core/connection/cancel-key-format.ts';
import type { CancelKey, CancelKeys } from '../../core/connection/cancel-keys.ts';
import { WrongKeys } from '../../core/connection/wrong-keys.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';
import { Random } from '../leaks/random.ts';
import { Owner, at } from '../support/cancel-owner.ts';
import { linkWorkers } from '../support/worker-links.ts';
import type { LinkedWorkers } from '../support/worker-links.ts';

const LARGEST_SERVER_ID = 4_194_304;

interface Linked extends LinkedWorkers {
  readonly keys: readonly CancelKeys[];
  /** Everything that was logged. */
  readonly lines: { readonly fields: object; readonly text: string }[];
}

function keysOf(count: number): Linked {
  const linked = linkWorkers(count);
  const lines: Linked['lines'] = [];
  const info = (fields: object, text: string): void => void lines.push({ fields, text });
  const log = { info, warn: info, error: info };
  return { ...linked, keys: linked.links.map((link) => cancelKeysOver(link, log)), lines };
}

/** A session that counts what must have hit it. */
interface Session {
  readonly worker: number;
  readonly owner: Owner;
  readonly key: CancelKey;
  due: number;
}

function open(keys: readonly CancelKeys[], random: Random): Session {
  const worker = random.below(keys.length);
  const owner = new Owner();
  const minor = random.below(2) * 2;
  // Servers of the test have few process ids: sessions of several workers share them.
  const shown = random.below(2) === 0 ? 1 + random.below(50) : undefined;
  return { worker, owner, key: at(keys, worker).issue(minor, owner, shown), due: 0 };
}

test(
  'of 100 000 cancels through a wrong worker, while sessions come and go, every one hits its own session once and no other',
  { timeout: 240_000 },
  async () => {
    const { keys, close, lines } = keysOf(4);
    const random = new Random(14);
    const sessions = Array.from({ length: 200 }, () => open(keys, random));
    let stray = 0;
    let left = 100_000;
    const one = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const index = random.below(sessions.length);
        const session = at(sessions, index);
        const via = (session.worker + 1 + random.below(3)) % 4;
        session.due += 1;
        await at(keys, via).present(session.key.processId, session.key.secret, '192.0.2.1');
        if (session.due === session.owner.hits && random.below(100) === 0 && sessions[index] === session) {
          at(keys, session.worker).revoke(session.key);
          sessions[index] = open(keys, random);
          over.push(session);
        }
      }
    };
    const over: Session[] = [];
    await Promise.all(Array.from({ length: 50 }, one));
    for (const { owner, due } of [...sessions, ...over]) stray += Math.abs(owner.hits - due);
    expect({ stray, refused: lines.length }).toEqual({ stray: 0, refused: 0 });
    expect(keys.reduce((sum, { size }) => sum + size, 0)).toBe(200);
    expect(over.length).toBeGreaterThan(100);
    close();
  },
);

test('a worker alone issues and logs as ever: its secrets are random from the first byte', () => {
  const keys = cancelKeysOver(new SingleProcess(), { info() {}, warn() {}, error() {} });
  const first = Array.from({ length: 500 }, () => keys.issue(2, new Owner()).secret.readUInt32BE());
  expect(new Set(first).size).toBe(500);
  expect(keys.issue(0, new Owner(), 2 ** 30).processId).toBe(2 ** 30);
});

test('a key of 3.2 carries its worker in the secret, one of 3.0 in an id that no server process has', () => {
  const { keys, close } = keysOf(3);
  for (const [index, of] of keys.entries()) {
    for (let i = 0; i < 1_000; i += 1) {
      const [long, short] = [of.issue(2, new Owner(), 4_711), of.issue(0, new Owner())];
      expect(long.secret).toHaveLength(32);
      expect(issuerOf(long.processId, long.secret)).toEqual({ worker: index + 1, instance: 0 });
      expect(short.processId).toBeGreaterThan(LARGEST_SERVER_ID);
      expect(short.processId).toBeLessThanOrEqual(0x7fffffff);
      expect(issuerOf(short.processId, short.secret)).toMatchObject({ worker: index + 1 });
    }
  }
  close();
});

test('64 workers can be told apart by an id, whose other bits are random', () => {
  for (let worker = 1; worker <= 64; worker += 1) {
    const ids = Array.from({ length: 200 }, () => idOf({ worker, instance: undefined }));
    for (const id of ids) expect(issuerOf(id, Buffer.alloc(4))).toMatchObject({ worker });
    expect(ids.every((id) => id > LARGEST_SERVER_ID && id <= 0x7fffffff)).toBe(true);
    expect(new Set(ids).size).toBeGreaterThan(190);
  }
});

test('the process id of a server stays with 3.0 where it is one of PostgreSQL, and is replaced where others would take it for one of the gateway', () => {
  const { keys, close } = keysOf(2);
  const own = at(keys, 0);
  expect(own.issue(0, new Owner(), 4_711).processId).toBe(4_711);
  expect(own.issue(2, new Owner(), 2 ** 30).processId).toBe(2 ** 30);
  const { processId, secret } = own.issue(0, new Owner(), 2 ** 30);
  expect(issuerOf(processId, secret)).toMatchObject({ worker: 1 });
  close();
});

test('what resolves a cancel through another worker is the end of the cancel, not its beginning', async () => {
  const { keys, close } = keysOf(2);
  let end: () => void = () => {};
  const owner = new Owner(new Promise((resolve) => (end = resolve)));
  const key = at(keys, 1).issue(0, owner);
  let resolved = false;
  const presented = at(keys, 0)
    .present(key.processId, key.secret)
    .then(() => (resolved = true));
  for (let i = 0; i < 50; i += 1) await new Promise((resolve) => setImmediate(resolve));
  expect([owner.hits, resolved]).toEqual([1, false]);
  end();
  await presented;
  close();
});

test('a cancel that fails at its owner ends as one that succeeds, and none is left over', async () => {
  const { keys, close } = keysOf(2);
  const failing = { cancel: () => Promise.reject(new Error('the server is gone')) };
  const key = at(keys, 1).issue(2, failing);
  await at(keys, 0).present(key.processId, key.secret);
  close();
});

test.each([
  ['that has died', 2, (linked: Linked) => linked.kill(2)],
  ['that dies with the cancel on its way', 2, (linked: Linked) => setImmediate(() => linked.kill(2))],
])('a key of a worker %s resolves', async (_, worker, die) => {
  const linked = keysOf(3);
  const key = at(linked.keys, worker - 1).issue(2, new Owner(new Promise(() => {})));
  die(linked);
  await at(linked.keys, 0).present(key.processId, key.secret);
  linked.close();
});

test('a worker that is silent is waited for no longer than its time', async () => {
  const linked = keysOf(2);
  const asked: unknown[] = [];
  const post = {
    answer: () => () => {},
    ask: (to: unknown, name: string, _: unknown, options: unknown) => {
      asked.push([to, name, options]);
      return Promise.resolve([{ worker: 2, error: 'it did not answer in time' }]);
    },
  };
  const silent = { info() {}, warn() {}, error() {} };
  const keys = cancelKeysOver({ worker: 1, workers: 2, post }, silent);
  const { processId, secret } = at(linked.keys, 1).issue(2, new Owner());
  await keys.present(processId, secret);
  expect(asked).toEqual([[2, ':cancel-key', { withinMs: 2_000 }]]);
  linked.close();
});

test('wrong keys hit nothing, five a second of an address are carried, and the log has the address and never the key', async () => {
  const { keys, links, lines, close } = keysOf(3);
  const owner = new Owner();
  const key = at(keys, 1).issue(2, owner, 4_711);
  let carried = 0;
  const post = at(links, 0).post;
  const ask: typeof post.ask = post.ask.bind(post);
  Object.assign(post, {
    ask: (...question: Parameters<typeof ask>) => {
      carried += 1;
      return ask(...question);
    },
  });
  const wrong = Buffer.from(key.secret);
  wrong.writeUInt8(wrong.readUInt8(31) ^ 1, 31);
  const otherFormat = Buffer.from(key.secret);
  otherFormat.writeUInt8(9, 0);
  await at(keys, 0).present(4_711, otherFormat, '192.0.2.9');
  await at(keys, 0).present(-4_711, Buffer.alloc(4), '192.0.2.9');
  await at(keys, 1).present(4_711, wrong, '192.0.2.9');
  expect(carried).toBe(0);
  for (let i = 0; i < 40; i += 1) await at(keys, 0).present(4_711, wrong, '192.0.2.9');
  expect(carried).toBeGreaterThanOrEqual(5);
  expect(carried).toBeLessThan(40);
  expect(owner.hits).toBe(0);
  expect(lines).toHaveLength(43);
  const text = JSON.stringify(lines);
  expect(text).toContain('192.0.2.9');
  expect(text).not.toContain('4711');
  expect(text).not.toContain(wrong.toString('hex').slice(8, 24));
  // Another address is served meanwhile.
  await at(keys, 0).present(4_711, key.secret, '192.0.2.10');
  expect(owner.hits).toBe(1);
  close();
});

test('wrong keys are carried at five a second per address and a hundred in all, however they come; right ones without end', () => {
  let now = 1_000;
  const wrong = new WrongKeys(1, () => now);
  const tries = (address: string, count: number): number => {
    let carried = 0;
    for (let i = 0; i < count; i += 1) {
      if (!wrong.begin(address)) continue;
      carried += 1;
      wrong.over(address, true);
    }
    return carried;
  };
  expect(tries('a', 1_000)).toBe(5);
  let more = 0;
  for (let second = 0; second < 100; second += 1) {
    now += 1_000;
    more += tries('a', 1_000);
  }
  expect(more).toBe(500);
  now += 10_000;
  let all = 0;
  for (let address = 0; address < 5_000; address += 1) all += tries(`b${address}`, 10);
  expect(all).toBe(100);
  now += 10_000;
  for (let i = 0; i < 10_000; i += 1) {
    expect(wrong.begin('c')).toBe(true);
    wrong.over('c', false);
  }
});

test.each([1, 2, 4, 64])('%i workers together carry no more wrong keys than one would', (workers) => {
  let now = 1_000_000;
  const all = Array.from({ length: workers }, () => new WrongKeys(workers, () => now));
  let carried = 0;
  for (let second = 0; second < 100; second += 1) {
    for (const wrong of all)
      for (let address = 0; address < 200; address += 1) {
        if (!wrong.begin(`a${address}`)) continue;
        carried += 1;
        wrong.over(`a${address}`, true);
      }
    now += 1_000;
  }
  expect(carried).toBeLessThanOrEqual(100 * 100);
  expect(carried).toBeGreaterThanOrEqual(100 * workers * Math.floor(100 / workers));
});

test('a hundred keys of one address are under way at most, and those that prove wrong are paid off before the next', () => {
  let now = 1_000;
  const wrong = new WrongKeys(1, () => now);
  const begun = Array.from({ length: 150 }, () => wrong.begin('a')).filter(Boolean);
  expect(begun).toHaveLength(100);
  for (const _ of begun) wrong.over('a', true);
  now += 19_000;
  expect(wrong.begin('a')).toBe(false);
  now += 1_000;
  expect(wrong.begin('a')).toBe(true);
});
