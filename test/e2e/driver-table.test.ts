/** The drivers of the table in core/client/README.md, each with its own way to do things: directly, in session mode, in transaction mode. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FEATURES } from '../support/drivers/features/index.ts';
import type { Place } from '../support/drivers/features/index.ts';
import { removeBuilt } from '../support/drivers/features/builds.ts';
import { DRIVERS } from '../support/drivers/features/programs.ts';
import type { TableDriver } from '../support/drivers/features/programs.ts';
import { hasLine, lineOf, rowOf, withRow } from '../support/drivers/features/table.ts';
import type { Runs } from '../support/drivers/features/table.ts';
import { databaseOf } from '../support/gateway.ts';
import { documentAt, table } from '../support/markdown.ts';
import { home, startOperated } from '../support/operated.ts';
import type { Operated } from '../support/operated.ts';
import { freshDatabase, sharedPostgres } from '../support/postgres.ts';

const MODES = ['session', 'transaction'] as const;
const PLACES = ['direct', ...MODES] as const;
type PlaceName = (typeof PLACES)[number];
/** Server connections of the pool in transaction mode, and others who always want them: a session seldom gets the same one twice. */
const POOLS = {
  session: { size: 10, clientMode: 'choose' },
  transaction: { size: 3, clientMode: 'choose', mostSessions: 2 },
} as const;
const OTHERS = 4;

const postgres = sharedPostgres();
const databases = new Map<PlaceName, string>();
let running: Operated;
let stopOthers: () => Promise<void>;

beforeAll(async () => {
  for (const place of PLACES) {
    const name = await freshDatabase();
    databases.set(place, name);
    await postgres.sql(
      `alter database ${name} owner to writer; create schema app; grant usage on schema app to writer; grant all on schema public to writer`,
      name,
    );
  }
  const entry = (mode: (typeof MODES)[number]) =>
    databaseOf(postgres, {
      database: databases.get(mode) ?? '',
      pool: { mode, queueTimeout: '60s', ...POOLS[mode] },
    });
  running = await startOperated(postgres, {
    databases: Object.fromEntries(MODES.map((mode) => [mode, entry(mode)])),
    loginTimeout: '60s',
  });
  stopOthers = othersIn(placeOf('transaction'));
});
afterAll(async () => {
  await stopOthers();
  await running.gateway.stop();
  removeBuilt();
});

function placeOf(name: PlaceName, sub = 'ada'): Place {
  const database = databases.get(name) ?? '';
  if (name === 'direct')
    return {
      host: postgres.host,
      port: postgres.port,
      user: 'writer',
      password: postgres.passwords.writer,
      database,
    };
  return {
    host: '127.0.0.1',
    port: running.port,
    user: '_',
    password: home.sign({ role: 'writer', sub }),
    database: name,
  };
}

/** Sessions of the same identity that use connections one after the other until they are stopped. */
function othersIn(place: Place): () => Promise<void> {
  const over = new AbortController();
  const work = Array.from({ length: OTHERS }, async () => {
    const client = new Client(place);
    client.on('error', () => {});
    await client.connect();
    while (!over.signal.aborted) await client.query('select pg_sleep(0.004)');
    await client.end();
  });
  return async () => {
    over.abort();
    await Promise.all(work);
  };
}

/** Writes the rows of the drivers that are here into the page; format it afterwards. */
const WRITES = process.env['POSTERN_WRITE_DRIVERS'] === '1';
const PAGE = 'core/client/README.md';
const FILE = fileURLToPath(new URL(`../../${PAGE}`, import.meta.url));

/** The programs begin together, and their build, if they need one, is over before. */
const runs = new Map<string, Runs | string>();

async function runAll({ name, find }: TableDriver): Promise<void> {
  const program = await find();
  if (typeof program === 'string') return void runs.set(name, program);
  const [direct, session, transaction] = await Promise.all([
    program(placeOf('direct')),
    program(placeOf('session')),
    program(placeOf('transaction')),
  ]);
  runs.set(name, { direct, session, transaction });
}

describe.each(DRIVERS)('$name', (driver) => {
  beforeAll(() => runAll(driver), 240_000);

  function runsOr(skip: (why: string) => never): Runs {
    const found = runs.get(driver.name) ?? 'its program has failed';
    return typeof found === 'string' ? skip(`skipped: ${found}`) : found;
  }

  test.for(FEATURES)('%s works, and in session mode as directly', (feature, { skip }) => {
    const { direct, session } = runsOr(skip);
    const result = direct.results.get(feature);
    if (result !== undefined) expect(result).toHaveProperty('result');
    expect(session.results.get(feature)).toEqual(result);
  });

  test('in transaction mode is what the page says', ({ skip }) => {
    const found = runsOr(skip);
    const row = rowOf(driver.name, found);
    const line = lineOf(driver.name, found.direct.version, driver.note);
    if (WRITES) writeFileSync(FILE, withRow(readFileSync(FILE, 'utf8'), 'Drivers', row, line));
    const page = documentAt(PAGE);
    const said = table(page, 'Drivers').find(([name]) => name === driver.name);
    const differ = FEATURES.map((feature) => [
      feature,
      found.direct.results.get(feature),
      found.transaction.results.get(feature),
    ]).filter(([, direct, transaction]) => JSON.stringify(direct) !== JSON.stringify(transaction));
    expect(row, JSON.stringify(differ)).toEqual(said);
    expect(hasLine(page.text, line, found.direct.version), line).toBe(true);
  });
});

test('every driver has a row, and every row a driver', () => {
  const rows = table(documentAt(PAGE), 'Drivers').map(([name]) => name);
  expect(rows).toEqual(DRIVERS.map(({ name }) => name));
});
