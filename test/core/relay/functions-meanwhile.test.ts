/** State of functions that nobody could know when a statement was sent, or that no source shows: no other session of the identity meets it. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FunctionCatalog } from '../../../core/upstream/function-catalog.ts';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';
import type { SharedSession, SharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
let database: string;
let shared: SharedSessions;

beforeEach(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `create table t (n int); grant all on t to writer; grant create on schema public to writer`,
    database,
  );
  shared = sharedSessions(postgres, database, 2);
});
afterEach(() => shared.close());

const Q = (sql: string): Buffer => frame('Q', sql);
const LEFT = Q(
  "select coalesce(current_setting('my.mark', true), ''), (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid())",
);

/** The columns of each row, and the words of each error. */
const seen = ({ messages }: RawClient): readonly string[] =>
  messages
    .filter(({ type }) => type === 'D' || type === 'E')
    .map(({ body }) =>
      body
        .toString('latin1')
        .replaceAll(/[^ -~]+/g, ' ')
        .trim(),
    );

async function say(client: RawClient, ...messages: readonly Buffer[]): Promise<void> {
  const asked = messages.filter((bytes) => 'QS'.includes(String.fromCharCode(bytes[0] ?? 0))).length;
  const answered = (): number => client.messages.filter(({ type }) => type === 'Z').length;
  const before = answered();
  client.send(...messages);
  await expect.poll(() => client.closed || answered() >= before + asked).toBe(true);
}

const functions = () => {
  const known = shared.pool.functions(database);
  if (!known) throw new Error('the pool does not look at functions');
  return known;
};
const connect = (fingerprint = 'same'): Promise<SharedSession> =>
  shared.connect({ fingerprint, options: { functions: functions() } });

/** The catalog is asked together with a reset. */
async function learn(): Promise<void> {
  const isKnown = async (): Promise<boolean> => {
    const other = await connect(`other ${Math.random()}`);
    await say(other, Q('select 1'));
    other.close();
    await other.relay.done;
    return functions().catalog !== FunctionCatalog.unknown;
  };
  await expect.poll(isKnown).toBe(true);
}

/** What another session of the identity finds on each of the two connections. */
async function found(): Promise<readonly string[]> {
  const others = [await connect(), await connect()];
  for (const other of others) await say(other, Q('begin'), LEFT);
  return others.flatMap(seen);
}

test('a function that is made while a text runs which calls it', async () => {
  const [maker, caller] = [await connect(), await connect()];
  await learn();
  await say(caller, Q('select 1'));
  const saying = say(caller, Q('select pg_sleep(1); select newf()'));
  await say(
    maker,
    Q(
      "create function newf() returns void language plpgsql as $$ begin perform pg_advisory_lock(42); perform set_config('my.mark', 'B', false); end $$",
    ),
  );
  await saying;
  expect(seen(caller).at(-1)).not.toContain('ERROR');
  // Its text has a lock in it, which keeps its connection.
  maker.close();
  await maker.relay.done;
  expect(await found()).toEqual(['0', '0']);
});

test('a trigger whose transaction ends while an INSERT waits for its lock', async () => {
  const [maker, writer] = [await connect(), await connect()];
  await say(
    maker,
    Q(
      "create function trg() returns trigger language plpgsql as $$ begin perform set_config('my.mark', 'B', false); return new; end $$",
    ),
  );
  await learn();
  await say(maker, Q('begin; create trigger x before insert on t for each row execute function trg()'));
  expect(functions().catalog).toBe(FunctionCatalog.unknown);
  const saying = say(writer, Q('insert into t values (1)'));
  await expect
    .poll(async () => postgres.sql("select 1 from pg_stat_activity where wait_event_type = 'Lock'", database))
    .not.toEqual([]);
  await say(maker, Q('commit'));
  await saying;
  expect(await found()).toEqual(['0', '0']);
});

test('a table with a default, made by a session that has temporary tables', async () => {
  const [maker, writer] = [await connect(), await connect()];
  await say(maker, Q('create temp table mine (n int)'));
  await learn();
  await say(maker, Q("create table d (v text default set_config('my.mark', 'B', false))"));
  await say(writer, Q('insert into d default values'));
  maker.close();
  await maker.relay.done;
  expect(await found()).toEqual(['0', '0']);
});

test('a function of an extension that runs the text of its argument', async () => {
  await postgres.sql('create extension tablefunc', database);
  const caller = await connect();
  await learn();
  const text = Buffer.from(
    "select 'r'::text, 'c'::text, set_config('my.mark', 'B', false) || pg_advisory_lock(42)::text",
  );
  const length = Buffer.alloc(4);
  length.writeInt32BE(text.length);
  await say(
    caller,
    frame('P', '', 'select * from crosstab($1) as ct(a text, b text)', 0),
    frame('B', '', '', 0, 1, Buffer.concat([length, text]), 0),
    frame('E', '', Buffer.alloc(4)),
    frame('S'),
  );
  expect(seen(caller)).toEqual([expect.stringContaining('r')]);
  expect(await found()).toEqual(['0', '0']);
});

test.each([
  [
    "create aggregate leak(text, bool) (sfunc = set_config, stype = text, initcond = 'my.mark')",
    "select leak('B', false)",
  ],
  ['create operator !! (rightarg = bigint, function = pg_try_advisory_lock)', 'select !! 42::bigint'],
])('%s', async (made, called) => {
  await postgres.sql(made, database);
  const caller = await connect();
  await learn();
  await say(caller, Q(called));
  expect(seen(caller)).toHaveLength(1);
  expect(await found()).toEqual(['0', '0']);
});
