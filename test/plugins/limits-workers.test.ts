/** The limits of several workers: exact over all of them, whatever dies. */
import { Client } from 'pg';
import type { DatabaseError } from 'pg';
import { afterEach, expect, test, vi } from 'vitest';
import { sharedWith } from '../../core/gateway/shared-with-workers.ts';
import type { Places } from '../../core/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import { takePlaces } from '../../plugins/limits/places.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, startWorker } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';
import { linkWorkers } from '../support/worker-links.ts';
import type { LinkedWorkers } from '../support/worker-links.ts';

const keys = issuer({ algorithms: ['ES256'] });
const PATIENT = { timeout: 30_000 };
let workers: LinkedWorkers;
let gateways: RunningGateway[] = [];

afterEach(async () => {
  await Promise.all(gateways.map(({ gateway }) => gateway.stop()));
  gateways = [];
  workers.close();
});

/** A worker of the fuzz, with the sessions that it has. */
interface Member {
  readonly places: Places;
  readonly open: { readonly keys: readonly string[]; readonly giveBack: () => void }[];
  dead: boolean;
}

const SUBJECTS = 40;
const LIMITS = { subject: 3, database: 70 };

const random = (below: number): number => Math.floor(Math.random() * below);

test('in 100 000 logins over four workers, 1 % of them with a death, there is never one above a limit, and no count is left', async () => {
  workers = linkWorkers(4);
  const memberOf = (coordination: LinkedWorkers['links'][number]): Member => ({
    places: sharedWith({ coordination }, 'limits').places,
    open: [],
    dead: false,
  });
  const members = workers.links.map(memberOf);
  const counts = new Map<string, number>();
  const add = (of: readonly string[], by: number): void => {
    for (const key of of) counts.set(key, (counts.get(key) ?? 0) + by);
  };
  const most = { subject: 0, database: 0 };
  let [admitted, refused, died] = [0, 0, 0];

  const login = async (member: Member): Promise<void> => {
    const subject = `subject ${random(SUBJECTS)}`;
    const wanted = [
      { key: subject, limit: LIMITS.subject, whose: 'this subject', by: 'the test' },
      { key: 'database orders', limit: LIMITS.database, whose: 'database "orders"', by: 'the test' },
      { key: 'role reader', limit: Infinity, whose: 'role "reader"', by: 'the test' },
    ];
    const named = wanted.map(({ key }) => key);
    try {
      const giveBack = await takePlaces(member.places, wanted);
      if (member.dead) return;
      admitted += 1;
      add(named, 1);
      most.subject = Math.max(most.subject, counts.get(subject) ?? 0);
      most.database = Math.max(most.database, counts.get('database orders') ?? 0);
      member.open.push({ keys: named, giveBack });
    } catch {
      refused += 1;
    }
  };
  const leave = (member: Member): void => {
    const [session] = member.open.splice(random(member.open.length), 1);
    if (!session) return;
    add(session.keys, -1);
    session.giveBack();
  };
  const die = (at: number): void => {
    const member = members[at];
    if (!member) return;
    died += 1;
    member.dead = true;
    for (const session of member.open) add(session.keys, -1);
    workers.kill(at + 1);
    members[at] = memberOf(workers.successor(at + 1));
    workers.hub.workers.ready(at + 1);
  };

  const BURST = 100;
  for (let done = 0; done < 100_000; done += BURST) {
    // Some never hear the answer: their worker is dead by then.
    const logins = Array.from({ length: BURST }, () => login(members[random(4)] as Member));
    die(random(4));
    const all = Promise.all(logins);
    await Promise.race([all, new Promise((resolve) => setTimeout(resolve, 0).ref())]);
    for (let n = 0; n < BURST; n += 1) leave(members[random(4)] as Member);
  }
  for (const member of members) while (member.open.length > 0) leave(member);
  await vi.waitFor(async () => {
    // All that was under way has arrived behind this.
    for (const member of members)
      expect(await member.places.take([{ key: 'other', limit: 0 }])).toBe('other');
    for (const member of members) while (member.open.length > 0) leave(member);
    expect(workers.hub.countedKeys).toBe(0);
  }, PATIENT);
  expect(most.subject).toBe(LIMITS.subject);
  expect(most.database).toBeLessThanOrEqual(LIMITS.database);
  expect(admitted).toBeGreaterThan(10_000);
  expect(refused).toBeGreaterThan(1_000);
  expect(died).toBe(1_000);
});

async function startTwo(): Promise<void> {
  const entry = databaseOf(sharedPostgres());
  workers = linkWorkers(2);
  for (const link of workers.links) {
    const running = await startWorker(
      {
        databases: { orders: entry, archive: entry },
        plugins: [
          jwt({ issuers: [keys.options] }),
          roles({ claim: 'role', allow: ['reader'] }),
          limits({ maxConnections: { subject: 2 } }),
        ],
      },
      link,
    );
    gateways.push(running);
  }
}

async function login(at: number, claims: Readonly<Record<string, unknown>> = {}): Promise<Client> {
  const client = new Client({
    host: '127.0.0.1',
    port: gateways[at]?.port ?? 0,
    user: '_',
    database: 'orders',
    password: keys.sign(claims),
  });
  client.on('error', () => {});
  await client.connect();
  return client;
}

const refusal = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'it was not refused',
    ({ code, message }: DatabaseError) => `${code}: ${message}`,
  );

test('two gateways count a subject together, name the limit that is full, and free what a dead worker held', async () => {
  await startTwo();
  const first = await login(0);
  const second = await login(1);
  for (const at of [0, 1])
    expect(await refusal(login(at))).toBe('53300: too many connections for this subject');
  expect(gateways[1]?.text()).toContain('2 are open, 2 allowed (limits.maxConnections.subject for');
  await (await login(0, { sub: 'bob' })).end();
  await first.end();
  const third = await vi.waitFor(() => login(1), PATIENT);
  await third.end();
  workers.kill(1);
  expect(workers.hub.countedKeys).toBeGreaterThan(0);
  await second.end();
  await vi.waitFor(() => expect(workers.hub.countedKeys).toBe(0), PATIENT);
});

test('a login that waits for its place while the parent process goes is refused with 57P03', async () => {
  await startTwo();
  workers.kill(1);
  const [link] = workers.links;
  const asked = vi.spyOn(link?.places as Places, 'take');
  const waiting = refusal(login(0));
  await vi.waitFor(() => expect(asked).toHaveBeenCalled(), PATIENT);
  link?.close();
  expect(await waiting).toBe('57P03: connections cannot be counted at the moment');
});
