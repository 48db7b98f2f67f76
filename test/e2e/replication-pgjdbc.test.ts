/** pgjdbc's replication interface through the gateway gives what it gives directly: logical by test_decoding and pgoutput, and physical. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { javaCommand, removeBuilt } from '../support/drivers/features/builds.ts';
import { GOOD_TOKEN, databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';

const run = promisify(execFile);
const ROLE = 'replicating';
const PLACES = ['direct', 'session', 'transaction'] as const;
const CASES = ['test_decoding', 'pgoutput', 'physical', 'errors'];
type Place = (typeof PLACES)[number];

let postgres: OwnPostgres;
let running: RunningGateway;
const said = new Map<Place, ReadonlyMap<string, unknown>>();
let missing = '';

beforeAll(async () => {
  postgres = await startPostgres({ flags: { wal_level: 'logical' } });
  await postgres.sql(`create role ${ROLE} login replication password 'secret'`);
  for (const place of PLACES) {
    // A slot tells of all tables of its database.
    await postgres.sql(`create database ${place} owner ${ROLE}`);
    await postgres.sql(
      `create table told (n int primary key, t text); alter table told owner to ${ROLE}; create publication told for table told`,
      place,
    );
  }
  const login = { kind: 'password', passwords: { [ROLE]: 'secret' } } as const;
  const entry = (mode: 'session' | 'transaction') =>
    databaseOf(postgres, {
      database: mode,
      login,
      privilegedRoles: [ROLE],
      replication: true,
      pool: { mode },
    });
  running = await startGateway({
    databases: { session: entry('session'), transaction: entry('transaction') },
    plugins: [mapTo(ROLE)],
  });
  const command = await javaCommand('../PgjdbcReplication.java');
  if (typeof command === 'string') missing = command;
  else await Promise.all(PLACES.map(async (place) => said.set(place, await ran(command, place))));
}, 120_000);
afterAll(async () => {
  await running.gateway.stop();
  await postgres.stop();
  removeBuilt();
});

async function ran(
  { path, args }: { readonly path: string; readonly args: readonly string[] },
  place: Place,
): Promise<ReadonlyMap<string, unknown>> {
  const [port, database, user, password] =
    place === 'direct' ? [postgres.port, place, ROLE, 'secret'] : [running.port, place, '_', GOOD_TOKEN];
  const url = `jdbc:postgresql://127.0.0.1:${port}/${database}?sslmode=disable`;
  const env = {
    ...process.env,
    URL: url,
    PGUSER: user,
    PGPASSWORD: password,
    SLOT: `of_${place}`,
    TABLE: 'told',
  };
  const { stdout } = await run(path, args, { env, timeout: 100_000 });
  const lines = stdout.trim().replaceAll(place, 'NAME').split('\n');
  const outcomes = lines.map((line) => JSON.parse(line) as { readonly case: string });
  return new Map(outcomes.map(({ case: name, ...outcome }) => [name, outcome]));
}

test.for(CASES)('%s, in a pool of either mode as directly', (name, { skip }) => {
  if (missing !== '') skip(missing);
  const direct = said.get('direct')?.get(name);
  expect(direct, JSON.stringify(direct)).toHaveProperty('result');
  expect(said.get('session')?.get(name)).toEqual(direct);
  expect(said.get('transaction')?.get(name)).toEqual(direct);
});

test('the driver tells of changes as the plugin of the server writes them', ({ skip }) => {
  if (missing !== '') skip(missing);
  expect(said.get('session')?.get('test_decoding')).toEqual({
    result: expect.arrayContaining(["table public.told: UPDATE: n[integer]:2 t[text]:'other'"]) as unknown,
  });
  expect(said.get('session')?.get('pgoutput')).toEqual({
    result: expect.stringMatching(/^BRI\w*CB\w*TC$/) as string,
  });
});

test('nothing of it is left on the server', async ({ skip }) => {
  if (missing !== '') skip(missing);
  expect(await postgres.sql('select slot_name from pg_replication_slots')).toEqual([]);
  const senders = (): Promise<unknown> =>
    postgres.sql("select pid from pg_stat_activity where backend_type = 'walsender'");
  await expect.poll(senders).toEqual([]);
});
