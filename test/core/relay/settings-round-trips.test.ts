/** What settings cost: round trips between gateway and PostgreSQL, counted on the wire. */
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame } from '../../support/raw.ts';
import { say } from '../../support/settings-client.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSession, SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
const sockets = new Set<Socket>();
let proxy: Server;
let shared: SharedSessions;
/** How often the gateway has sent something after the server had spoken. */
let roundTrips = 0;

function relay(client: Socket): void {
  const server = connect({ path: `${postgres.socketDir}/.s.PGSQL.${postgres.port}` });
  let speaks = true;
  for (const socket of [client, server]) {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
  }
  client.on('data', () => {
    if (speaks) roundTrips += 1;
    speaks = false;
  });
  server.on('data', () => (speaks = true));
  client.pipe(server).pipe(client);
}

beforeEach(async () => {
  const database = await freshDatabase();
  proxy = createServer(relay);
  await new Promise<void>((resolve) => void proxy.listen(0, '127.0.0.1', resolve));
  const { port } = proxy.address() as AddressInfo;
  shared = sharedSessions({ ...postgres, socketDir: '127.0.0.1', port }, database, 1);
});
afterEach(async () => {
  await shared.close();
  for (const socket of sockets) socket.destroy();
  await new Promise((resolve) => void proxy.close(resolve));
});

const Q = (sql: string): Buffer => frame('Q', sql);
const TIMES = 20;

/** Round trips while each of them has so many transactions, in turns. */
async function counted(...sessions: readonly SharedSession[]): Promise<number> {
  for (const one of sessions) await say(one, Q('select 1'));
  const before = roundTrips;
  for (let i = 0; i < TIMES; i += 1) for (const one of sessions) await say(one, Q('select 1'));
  return roundTrips - before;
}

const THREE = "set work_mem = '3MB'; set my.mark = 'mine'; set lock_timeout = '4s'";

test('a session without settings of its own pays nothing, on its own connection or on that of another', async () => {
  const [one, other] = [await shared.connect(), await shared.connect()];
  expect(await counted(one)).toBe(TIMES);
  expect(await counted(one, other)).toBe(2 * TIMES);
});

test('a session with three settings pays nothing while its connection stays, and one round trip where it changes', async () => {
  const [mine, plain] = [await shared.connect(), await shared.connect()];
  await say(mine, Q(THREE));
  expect(await counted(mine)).toBe(TIMES);
  // Set for one, taken back for the other.
  expect(await counted(mine, plain)).toBe(2 * 2 * TIMES);
  expect((await say(mine, Q("select current_setting('work_mem') || current_setting('my.mark')")))[0]).toBe(
    '3MBmine',
  );
});

test('sessions with equal settings pay nothing for each other, and a SET one round trip after its transaction', async () => {
  const [one, other] = [await shared.connect(), await shared.connect()];
  const before = roundTrips;
  await say(one, Q(THREE));
  expect(await say(one, Q('show lock_timeout'))).toEqual(['4s', 'SHOW']);
  expect(roundTrips - before).toBe(3);
  await say(other, Q(THREE));
  expect(await counted(one, other)).toBe(2 * TIMES);
});
