/** psycopg 3 and asyncpg as people use them, unchanged, on few server connections: each gives what it gives without a gateway. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { casesOf, pythonWith, runProgram } from '../support/drivers.ts';
import type { Driver, Outcome } from '../support/drivers.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

/** Where the programs run; each place has a database of its name. */
const PLACES = ['direct', 'clear', 'secure'] as const;
type Place = (typeof PLACES)[number];
const CLIENTS = 20;
const SIZE = 3;

let postgres: OwnPostgres;
let files: Certificates;
let front: TokenGateway;

beforeAll(async () => {
  prepareCheckout();
  files = await certificates();
  postgres = await startPostgres();
  for (const place of PLACES) await postgres.sql(`create database ${place} owner writer`);
  // PostgreSQL itself sees to it that there are never more.
  for (const place of ['clear', 'secure'])
    await postgres.sql(`alter database ${place} connection limit ${SIZE}`);
  const pool = `pool: { mode: 'transaction', size: ${SIZE}, queueTimeout: '60s', idleTimeout: '500ms' }`;
  front = await startTokenGateway(postgres, {
    listen: `tls: { cert: '${files.server.certFile}', key: '${files.server.keyFile}' }`,
    databases: `clear: { ...server, database: 'clear', ${pool} }, secure: { ...server, database: 'secure', ${pool} }`,
    more: "loginTimeout: '60s'",
  });
}, 240_000);
afterAll(async () => {
  await front.gateway.remove();
  await postgres.stop();
  files.remove();
});

function environmentOf(place: Place): NodeJS.ProcessEnv {
  const through = { ...front.environment('writer'), PGDATABASE: place, CLIENTS: String(CLIENTS) };
  if (place === 'clear') return through;
  if (place === 'secure') {
    const { certFile } = files.ca;
    return { ...through, PGHOST: 'localhost', PGSSLMODE: 'verify-full', PGSSLROOTCERT: certFile };
  }
  const { host, port, passwords } = postgres;
  return { ...through, PGHOST: host, PGPORT: String(port), PGUSER: 'writer', PGPASSWORD: passwords.writer };
}

const sessions = async (): Promise<number> =>
  (await postgres.sql("select from pg_stat_activity where usename = 'writer'")).length;

describe.each<Driver>(['psycopg', 'asyncpg'])('%s', (driver) => {
  const python = pythonWith(driver);
  if (python === undefined) {
    test.skip(`skipped: no Python here has ${driver}`, () => {});
    return;
  }
  const outcomes = new Map<Place, ReadonlyMap<string, Outcome>>();

  beforeAll(async () => {
    const run = (place: Place) => runProgram(python, driver, environmentOf(place));
    await Promise.all(PLACES.map(async (place) => outcomes.set(place, await run(place))));
  }, 300_000);

  test.each(casesOf(driver))('%s', (name) => {
    const [direct, clear, secure] = PLACES.map((place) => outcomes.get(place)?.get(name));
    expect(direct).toHaveProperty('result');
    expect(clear).toEqual(direct);
    expect(secure).toEqual(direct);
  });

  test('leaves no session behind', async () => {
    await expect.poll(sessions).toBe(0);
  });
});
