/** Random settings of several sessions on few connections: each sees what it would see on a connection of its own. */
import { beforeAll, expect, test } from 'vitest';
import { freshDatabase, sharedPostgres } from '../../support/postgres.ts';
import { frame } from '../../support/raw.ts';
import type { RawClient } from '../../support/raw.ts';
import { random } from '../../support/sequences.ts';
import { believed, say, straight } from '../../support/settings-client.ts';
import { sharedSessions } from '../../support/shared-sessions.ts';

const postgres = sharedPostgres();
const SEED = Number(process.env['POSTERN_SEED'] ?? 20261129);
const STEPS = Number(process.env['POSTERN_SETTINGS_STEPS'] ?? 600);
let database: string;

beforeAll(async () => {
  database = await freshDatabase();
  await postgres.sql(
    `grant reader to writer; create schema two; grant usage on schema two to writer, reader;
     create table t (n int); grant select on t to writer, reader`,
    database,
  );
});

const VALUES: Readonly<Record<string, readonly string[]>> = {
  work_mem: ["'64kB'", "'3MB'", '4711'],
  statement_timeout: ["'1min'", '70000'],
  lock_timeout: ["'2min'", '0'],
  search_path: ['two, public', '"$user"', "''", 'pg_catalog'],
  timezone: ["'Asia/Tokyo'", "'UTC'", '5.5'],
  datestyle: ["'German, DMY'", 'iso', 'sql, mdy'],
  intervalstyle: ['iso_8601', 'postgres'],
  application_name: ["'it''s'", '"b"'],
  client_encoding: ["'LATIN1'", "'UTF8'"],
  extra_float_digits: ['0', '2', '3'],
  default_transaction_isolation: ['serializable', "'read committed'"],
  default_transaction_read_only: ['on', 'off'],
  row_security: ['off', 'on'],
  standard_conforming_strings: ['off', 'on'],
  bytea_output: ['escape', 'hex'],
  xmloption: ['document', 'content'],
  'my.app': ["'a b'", "'ü'", "''", '1'],
  '"my.Other"': ["'x;y'", "'\"'"],
  geqo_threshold: ['5', '1000'],
};
const NAMES = Object.keys(VALUES);
const SHOWN = NAMES.map((name) => `coalesce(current_setting('${name.replaceAll('"', '')}', true), '')`);
const PROBE = frame('Q', `select current_user, session_user, ${SHOWN.join(', ')}`);
const TOLD = ['TimeZone', 'DateStyle', 'IntervalStyle', 'application_name', 'client_encoding'];

const ALL = Buffer.from([0, 0, 0, 0]);
const extended = (sql: string, name = ''): readonly Buffer[] => [
  ...(name === ''
    ? [frame('P', '', sql, 0)]
    : [frame('C', Buffer.from(`S${name}\0`)), frame('P', name, sql, 0)]),
  frame('B', '', name, 0, 0, 0),
  frame('E', '', ALL),
  frame('S'),
];

/** One step of a session: its messages, and what it does to the transaction. */
type Step = readonly Buffer[];

class Steps {
  readonly #random: () => number;

  constructor(random: () => number) {
    this.#random = random;
  }

  below(count: number): number {
    return Math.floor(this.#random() * count);
  }
  pick<T>(all: readonly T[]): T {
    return all[this.below(all.length)] as T;
  }

  /** `resets`: also commands that return to the values of the startup packet. */
  command(resets: boolean): string {
    const name = this.pick(NAMES);
    const value = this.pick(VALUES[name] ?? []);
    const literal = value.startsWith("'") ? value : `'${value.replaceAll("'", "''")}'`;
    const plain = name.replaceAll('"', '');
    const sets = [
      `set ${name} = ${value}`,
      `SET SESSION ${name} TO ${value}`,
      `/* set x = 1 */ set -- y\n ${name} = ${value};`,
      `set ${name} to ${value}; set ${this.pick(NAMES)} to default`.replace(/set (\S+) to default/, (all) =>
        resets ? all : 'select 1',
      ),
      `set local ${name} = ${value}`,
      `select set_config('${plain}', ${literal}, false)`,
      `select pg_catalog.set_config('${plain}', ${literal}, true)`,
      `select set_config('${plain}', v, n = 2) from (values (${literal}, 1), (${literal}, 2)) as x(v, n)`,
      'set role reader',
      'set role none',
      'reset role',
      "set time zone 'Europe/Berlin'",
      "set schema 'two'",
      "set names 'UTF8'",
      'set session characteristics as transaction isolation level repeatable read, read only',
      'set session characteristics as transaction read write',
      `set ${name} = 'nonsense of all kinds'`,
      'set transaction isolation level serializable',
      'select 1/0',
      `set ${name} = ${value}; select 1/0`,
    ];
    return this.pick(resets ? [...sets, `reset ${name}`, `set ${name} to default`, 'reset all'] : sets);
  }

  step(inTransaction: boolean, resets: boolean, begins: boolean): Step {
    const dice = this.below(100);
    if (inTransaction && dice < 15)
      return [frame('Q', this.pick(['commit', 'commit', 'rollback', 'commit and chain']))];
    if (inTransaction && dice < 30)
      return [frame('Q', this.pick(['savepoint a', 'rollback to a', 'release a', 'savepoint a']))];
    if (!inTransaction && dice < 12) return begins ? [frame('Q', 'begin')] : [frame('Q', 'select 2')];
    if (!inTransaction && resets && dice < 15) return [frame('Q', 'discard all')];
    const sql = this.command(resets);
    const many = dice % 4;
    if (many === 0 || sql.includes(';')) return [frame('Q', sql)];
    if (many === 1) return extended(sql);
    if (many === 2) return extended(sql, 'mine');
    return [...extended(sql), ...extended('select 3'), frame('Q', 'select 4')];
  }
}

interface Pair {
  readonly through: RawClient;
  readonly own: RawClient;
  readonly startup: boolean;
  inTransaction: boolean;
}

const statusOf = (client: RawClient): string =>
  client.messages.findLast(({ type }) => type === 'Z')?.body.toString('latin1') ?? '?';

test.each([1, 2, 3])(
  `what sessions set on %d connections is theirs alone (POSTERN_SEED=${SEED})`,
  async (size) => {
    const steps = new Steps(random(SEED + size));
    const shared = sharedSessions(postgres, database, size);
    const startups = [
      {},
      { TimeZone: 'Asia/Tokyo', application_name: 'app', extra_float_digits: '2' },
      {},
      {},
    ];
    const pairs: Pair[] = [];
    for (const [index, parameters] of startups.entries())
      pairs.push({
        through: await shared.connect({ parameters, fingerprint: index === 3 ? 'other' : 'same' }),
        own: await straight(postgres, database, parameters),
        startup: index === 1,
        inTransaction: false,
      });
    const said: string[] = [];
    for (let count = 0; count < STEPS; count += 1) {
      const pair = steps.pick(pairs);
      const { through, own } = pair;
      const open = pairs.filter(({ inTransaction }) => inTransaction).length;
      // Whoever holds the last connection has to go on.
      const holder = open === size ? steps.pick(pairs.filter(({ inTransaction }) => inTransaction)) : pair;
      if (holder !== pair) continue;
      // Within a transaction RESET returns to the server's value first: see the rules of the relay.
      const step = steps.step(
        pair.inTransaction,
        !(pair.startup && pair.inTransaction),
        open + 1 < size || size === 1,
      );
      said.push(
        `${pairs.indexOf(pair)}: ${step.map((bytes) => bytes.toString('utf8', 5).replaceAll('\0', ' ')).join(' | ')}`,
      );
      const context = said.slice(-12).join('\n');
      expect(await say(through, ...step), context).toEqual(await say(own, ...step));
      pair.inTransaction = statusOf(own) !== 'I';
      expect(statusOf(through), context).toBe(statusOf(own));
      const [shown = ''] = await say(own, PROBE);
      expect((await say(through, PROBE))[0], context).toEqual(shown);
      const columns = shown.split('|');
      if (!pair.inTransaction)
        for (const name of TOLD) {
          const value = columns[2 + NAMES.indexOf(name.toLowerCase())];
          // Of what its login was told, a client here knows nothing.
          expect([undefined, value], `${name}\n${context}`).toContain(believed(through, name));
        }
    }
    for (const { own } of pairs) own.close();
    await shared.close();
  },
  300_000,
);
