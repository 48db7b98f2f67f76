import { afterEach, expect, test } from 'vitest';
import { UNNUMBERED, issuerOf } from '../../core/connection/cancel-key-format.ts';
import { cancelKeysOver } from '../../core/connection/cancel-forwarding.ts';
import type { CancelKey, CancelKeys } from '../../core/connection/cancel-keys.ts';
import { WrongKeys } from '../../core/connection/wrong-keys.ts';
import { Random } from '../leaks/random.ts';
import { Owner, at } from '../support/cancel-owner.ts';
import { linkFleet } from '../support/fleet-links.ts';
import type { LinkedFleet, LinkedInstance } from '../support/fleet-links.ts';

interface Keys extends LinkedFleet {
  /** By instance, and by worker. */
  readonly keys: readonly (readonly CancelKeys[])[];
  /** Everything that was logged. */
  readonly lines: object[];
}

let close: () => void = () => {};
afterEach(() => close());

function keysOf(instances: number, workers = 1): Keys {
  const linked = linkFleet(instances, workers);
  close = linked.close;
  const lines: object[] = [];
  const info = (fields: object): void => void lines.push(fields);
  const log = { info, warn: info, error: info };
  const keys = linked.instances.map((one) => one.workers.map((worker) => cancelKeysOver(worker, log)));
  return { ...linked, keys, lines };
}

/** The keys of the first worker of an instance. */
const first = ({ keys }: Keys, instance: number): CancelKeys => at(at(keys, instance), 0);
const instanceAt = ({ instances }: Keys, index: number): LinkedInstance => at(instances, index);

test(
  'of 20 000 cancels through a random worker of a random instance, while sessions come and go, every one hits its own session once and no other',
  { timeout: 120_000 },
  async () => {
    const fleet = keysOf(3, 2);
    const random = new Random(15);
    const anyKeys = (): CancelKeys => at(at(fleet.keys, random.below(3)), random.below(2));
    const open = (): { keys: CancelKeys; owner: Owner; key: CancelKey; due: number } => {
      const [keys, owner, minor] = [anyKeys(), new Owner(), random.below(2) * 2];
      // Servers of the test have few process ids: sessions of several instances share them.
      const shown = random.below(2) === 0 ? 1 + random.below(50) : undefined;
      return { keys, owner, key: keys.issue(minor, owner, shown), due: 0 };
    };
    const sessions = Array.from({ length: 200 }, open);
    const over: typeof sessions = [];
    let left = 20_000;
    const one = async (): Promise<void> => {
      while (left > 0) {
        left -= 1;
        const index = random.below(sessions.length);
        const session = at(sessions, index);
        session.due += 1;
        await anyKeys().present(session.key.processId, session.key.secret, `192.0.2.${random.below(20)}`);
        if (session.due !== session.owner.hits || random.below(100) > 0 || sessions[index] !== session)
          continue;
        session.keys.revoke(session.key);
        sessions[index] = open();
        over.push(session);
      }
    };
    await Promise.all(Array.from({ length: 50 }, one));
    const stray = [...sessions, ...over].filter(({ owner, due }) => owner.hits !== due).length;
    expect({ stray, refused: fleet.lines.length }).toEqual({ stray: 0, refused: 0 });
    expect(over.length).toBeGreaterThan(50);
  },
);

test('a key carries the number of its instance and its worker, in the id with 3.0 and in the secret with 3.2', () => {
  const fleet = keysOf(2, 2);
  instanceAt(fleet, 1).renumber(1_022);
  for (const [instance, number] of [2, 1_022].entries()) {
    for (const [index, keys] of at(fleet.keys, instance).entries()) {
      for (let i = 0; i < 500; i += 1) {
        const [long, short] = [keys.issue(2, new Owner(), 4_711), keys.issue(0, new Owner())];
        expect(issuerOf(long.processId, long.secret)).toEqual({ worker: index + 1, instance: number });
        expect(issuerOf(short.processId, short.secret)).toEqual({ worker: index + 1, instance: number });
        expect(short.processId).toBeGreaterThan(2 ** 22);
        expect(short.processId).toBeLessThanOrEqual(0x7fffffff);
      }
    }
  }
});

test.each([0, 2])(
  'a key of protocol 3.%i goes to its instance alone, in one question and one for the end',
  async (minor) => {
    const fleet = keysOf(10);
    const owner = new Owner();
    const { processId, secret } = first(fleet, 7).issue(minor, owner);
    await first(fleet, 2).present(processId, secret);
    expect([owner.hits, fleet.sent()]).toEqual([1, 2]);
  },
);

test('a key that comes to its own instance leaves it for no other, also from another worker', async () => {
  const fleet = keysOf(3, 2);
  const owner = new Owner();
  for (const [minor, shown] of [
    [0, undefined],
    [2, undefined],
    [0, 4_711],
    [2, 4_711],
  ] as const) {
    const { processId, secret } = first(fleet, 0).issue(minor, owner, shown);
    for (const keys of at(fleet.keys, 0)) await keys.present(processId, secret);
  }
  expect([owner.hits, fleet.sent()]).toEqual([8, 0]);
});

test('with protocol 3.0 and the process id of a server the key is found by all instances, and hits only its own of those with that id', async () => {
  const fleet = keysOf(4);
  const owners = [0, 1, 2, 3].map(() => new Owner());
  const issued = owners.map((owner, index) => first(fleet, index).issue(0, owner, 4_711));
  expect(issued.map(({ processId }) => processId)).toEqual([4_711, 4_711, 4_711, 4_711]);
  const { processId, secret } = at(issued, 3);
  await first(fleet, 0).present(processId, secret);
  expect(owners.map(({ hits }) => hits)).toEqual([0, 0, 0, 1]);
  // Three are asked for the key, and one for the end.
  expect(fleet.sent()).toBe(4);
});

test('what resolves a cancel through another instance is the end of the cancel, not its beginning', async () => {
  const fleet = keysOf(2);
  let end: () => void = () => {};
  const owner = new Owner(new Promise((resolve) => (end = resolve)));
  const { processId, secret } = first(fleet, 1).issue(0, owner);
  let resolved = false;
  const presented = first(fleet, 0)
    .present(processId, secret)
    .then(() => (resolved = true));
  for (let i = 0; i < 50; i += 1) await new Promise((resolve) => setImmediate(resolve));
  expect([owner.hits, resolved]).toEqual([1, false]);
  end();
  await presented;
});

test('keys that an instance issued under a number of before are its own, whichever worker they come to, although another has that number now', async () => {
  const fleet = keysOf(2, 2);
  const [lost, taker] = [new Owner(), new Owner()];
  const before = first(fleet, 0).issue(0, lost);
  instanceAt(fleet, 0).renumber(900);
  instanceAt(fleet, 1).renumber(2);
  const after = first(fleet, 1).issue(0, taker);
  expect(issuerOf(after.processId, after.secret)).toEqual(issuerOf(before.processId, before.secret));
  for (const { processId, secret } of [before, after]) {
    for (const keys of at(fleet.keys, 0)) await keys.present(processId, secret);
  }
  expect([lost.hits, taker.hits]).toEqual([2, 2]);
  // Through the one that has the number now it hits nothing.
  await first(fleet, 1).present(before.processId, before.secret);
  expect([lost.hits, taker.hits]).toEqual([2, 2]);
});

test('an instance without a number issues keys that are found by its workers, and asked of no other instance', async () => {
  const fleet = keysOf(2, 2);
  const owner = new Owner();
  instanceAt(fleet, 0).renumber(undefined);
  const issued = [0, 2].map((minor) => first(fleet, 0).issue(minor, owner));
  for (const { processId, secret } of issued) {
    expect(issuerOf(processId, secret)).toEqual({ worker: 1, instance: UNNUMBERED });
    await at(at(fleet.keys, 1), 0).present(processId, secret);
    await at(at(fleet.keys, 0), 1).present(processId, secret);
    // It has one again: they stay its own.
    instanceAt(fleet, 0).renumber(7);
    await at(at(fleet.keys, 0), 1).present(processId, secret);
    instanceAt(fleet, 0).renumber(undefined);
  }
  expect([owner.hits, fleet.sent()]).toEqual([4, 0]);
});

test('a number that nobody has, and one of an instance that is silent, hit nothing and end', async () => {
  const fleet = keysOf(3);
  const owner = new Owner();
  const gone = first(fleet, 1).issue(2, owner);
  instanceAt(fleet, 1).renumber(undefined);
  await first(fleet, 0).present(gone.processId, gone.secret, '192.0.2.1');
  expect(fleet.sent()).toBe(0);
  instanceAt(fleet, 2).reads = false;
  const silent = first(fleet, 2).issue(2, owner);
  await first(fleet, 0).present(silent.processId, silent.secret, '192.0.2.1');
  expect([owner.hits, fleet.sent()]).toEqual([0, 1]);
  expect(fleet.lines).toHaveLength(2);
});

test('guesses at the number of another instance are carried at five a second of an address, and the right key of another address meanwhile', async () => {
  const fleet = keysOf(2);
  const owner = new Owner();
  const { processId, secret } = first(fleet, 1).issue(0, owner);
  const wrong = Buffer.from(secret);
  wrong.writeUInt8(wrong.readUInt8(3) ^ 1, 3);
  for (let i = 0; i < 40; i += 1) await first(fleet, 0).present(processId, wrong, '192.0.2.9');
  expect(fleet.sent()).toBeGreaterThanOrEqual(5);
  expect(fleet.sent()).toBeLessThan(40);
  await first(fleet, 0).present(processId, secret, '192.0.2.10');
  expect(owner.hits).toBe(1);
  expect(JSON.stringify(fleet.lines)).not.toContain(String(processId));
});

test('a wrong key that all instances are asked for counts once for each, and keeps its address out for a second at most', async () => {
  const fleet = keysOf(51);
  await first(fleet, 0).present(4_711, Buffer.alloc(4, 7), '192.0.2.9');
  expect(fleet.sent()).toBe(50);
  let now = 1_000;
  const wrong = new WrongKeys(1, () => now);
  const guess = (): boolean => {
    const carried = wrong.begin('a', 50);
    if (carried) wrong.over('a', true, 50);
    return carried;
  };
  expect([guess(), guess()]).toEqual([true, false]);
  now += 1_000;
  expect([guess(), guess()]).toEqual([true, false]);
});

test('a large fleet carries no more messages of wrong keys than a small one', () => {
  let now = 1_000;
  const carried = (messages: number): number => {
    const wrong = new WrongKeys(1, () => now);
    let sum = 0;
    for (let second = 0; second < 100; second += 1) {
      for (let address = 0; address < 200; address += 1) {
        if (!wrong.begin(`a${address}`, messages)) continue;
        sum += messages;
        wrong.over(`a${address}`, true, messages);
      }
      now += 1_000;
    }
    return sum;
  };
  // The last may overdraw what is left by as many as it needs.
  for (const messages of [1, 7, 99, 500]) expect(carried(messages)).toBeLessThanOrEqual(10_000 + messages);
});

test('a worker of a fleet may have more sessions than an id tells apart: each key hits its own', async () => {
  const fleet = keysOf(1);
  const keys = first(fleet, 0);
  const sessions = Array.from({ length: 40_000 }, () => {
    const owner = new Owner();
    return { owner, key: keys.issue(0, owner) };
  });
  expect(keys.size).toBe(40_000);
  for (const { key } of sessions) await keys.present(key.processId, key.secret);
  expect(sessions.filter(({ owner }) => owner.hits !== 1)).toEqual([]);
  for (const { key } of sessions) keys.revoke(key);
  expect(keys.size).toBe(0);
});

test('keys that all of a large fleet are asked for come in bursts of twenty from one address: its client has many statements that time out at once', async () => {
  const fleet = keysOf(51);
  const owners = Array.from({ length: 20 }, () => new Owner());
  const issued = owners.map((owner) => first(fleet, 50).issue(0, owner, 4_711));
  const presented = issued.map((key) => first(fleet, 0).present(key.processId, key.secret, '192.0.2.9'));
  await Promise.all(presented);
  expect(owners.map(({ hits }) => hits)).toEqual(owners.map(() => 1));
});
