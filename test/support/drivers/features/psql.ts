/** The installed psql as its users write it: scripts on its standard input, by the simple protocol. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text as textOf } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { Client } from 'pg';
import { environmentOf } from './index.ts';
import type { Cases, Place } from './index.ts';

/** Its version. @param path the program's */
export const versionOf = (path: string): string =>
  /\d+(?:\.\d+)*/.exec(execFileSync(path, ['--version'], { encoding: 'utf8' }))?.[0] ?? 'unknown';

const SHOW = `select current_setting('search_path'), current_setting('statement_timeout'), current_setting('TimeZone'), current_setting('work_mem');`;
const shown = (times: number): string => `${SHOW}\n`.repeat(times);

/** Gives a statement to another psql, in the place of this one. */
const elsewhere = (statement: string): string => `\\! "$PSQL" -Xqc "${statement}"`;

/** A psql's standard output, its standard error and its exit status. */
type Printed = readonly [string, string, number | null];

/** What is interrupted; psql sends its texts as they stand. */
const SLEEP = 'select pg_sleep(30);';

/** Another session of the same role sees that the statement is under way in this database. */
async function hasBegun(place: Place): Promise<void> {
  const client = new Client(place);
  await client.connect();
  try {
    const text = `select from pg_stat_activity where datname = current_database() and state = 'active' and query = '${SLEEP}'`;
    while ((await client.query(text)).rowCount === 0) await delay(10);
  } finally {
    await client.end();
  }
}

interface How {
  readonly options?: string;
  /** The script's last statement is cancelled by an interrupt, as from the keyboard. */
  readonly interrupt?: boolean;
}

/** Gives programs that run a script with the psql of a path. */
function runnerOf(path: string) {
  return async (place: Place, script: string, { options, interrupt }: How = {}): Promise<Printed> => {
    const env = { ...environmentOf(place), PSQL: path, ...(options !== undefined && { PGOPTIONS: options }) };
    const psql = spawn(path, ['-XAtq', '-v', 'VERBOSITY=sqlstate'], { env });
    const closed = once(psql, 'close') as Promise<[number | null]>;
    const printed = Promise.all([textOf(psql.stdout), textOf(psql.stderr)]);
    psql.stdin.on('error', () => {});
    psql.stdin.end(script);
    if (interrupt === true) {
      await hasBegun(place);
      psql.kill('SIGINT');
    }
    const [[status], [out, errors]] = await Promise.all([closed, printed]);
    return [out, errors, status];
  };
}

/** Of psql 18: what its users prepare and send in pipelines is of the extended protocol. */
const PREPARED = `select 8 / $1::int, $2::text \\parse parsed
${[1, 2, 0, 4].map((divisor) => `\\bind_named parsed ${divisor} x \\g`).join('\n')}
\\close_prepared parsed
\\bind_named parsed 1 x \\g
`;
const sent = (...divisors: number[]): string =>
  divisors.map((divisor) => `select 8 / $1::int \\bind ${divisor} \\sendpipeline\n`).join('');
const PIPELINE = `\\startpipeline
${sent(1, 2)}\\syncpipeline
${sent(0, 4)}\\syncpipeline
${sent(8)}\\endpipeline
`;

/** Each is a case. @param path the program's */
export function casesOf(path: string): Cases {
  const run = runnerOf(path);
  const isOf18 = Number.parseInt(versionOf(path), 10) >= 18;
  return {
    startup: (place) =>
      run(place, shown(5), {
        options: '-c search_path=app -c statement_timeout=7s -c TimeZone=Asia/Tokyo -c work_mem=3MB',
      }),
    settings: (place) =>
      run(
        place,
        `set search_path = app; set time zone 'Asia/Tokyo';
         set statement_timeout = '7s'; set session work_mem = 3072;
         ${shown(5)} reset work_mem; ${shown(1)}
         \\encoding latin1
         ${'show client_encoding;'.repeat(3)}`,
      ),
    prepared: (place) =>
      run(
        place,
        `prepare divided (int, text) as select 8 / $1, $2;
         ${[1, 2, 0, 4].map((divisor) => `execute divided(${divisor}, 'x');`).join('\n')}
         deallocate divided; execute divided(1, 'x'); prepare divided as select 'again'; execute divided;
         select 1 as n, 'x'::text as t \\gdesc
         select 'select ' || n from generate_series(1, 3) n \\gexec
${isOf18 ? PREPARED : ''}`,
      ),
    changed_table: (place) =>
      run(
        place,
        `drop table if exists changed; create table changed (a int, b text); insert into changed values (1, '2');
         prepare rows as select * from changed; execute rows;
         ${elsewhere('alter table changed add c int default 3')}
         execute rows; execute rows; deallocate rows;
         prepare rows as select * from changed; execute rows;
         \\d changed`,
      ),
    transactions: (place) =>
      run(
        place,
        `drop table if exists kept; create table kept (n int);
         begin isolation level serializable read only;
         show transaction_isolation; insert into kept values (1); rollback;
         begin; insert into kept values (2); savepoint a; insert into kept values (3); rollback to a; commit;
         show transaction_isolation;
         \\set ON_ERROR_ROLLBACK on
         begin; insert into kept values (4); select 1/0; insert into kept values (5); commit;
         \\set AUTOCOMMIT off
         insert into kept values (6); rollback;
         select sum(n) from kept;`,
      ),
    cancel: async (place) => [
      await run(
        place,
        "begin; set local statement_timeout = '100ms'; select pg_sleep(30); rollback; select 1;",
      ),
      await run(place, SLEEP, { interrupt: true }),
    ],
    copy: async (place) => {
      const rows = Array.from({ length: 5_000 }, (_, i) => `${i}\tword ${i}\n`).join('');
      const [out, errors, status] = await run(
        place,
        `drop table if exists copied; create table copied (a int, b text);
\\copy copied from stdin
${rows}\\.
copy copied (a) from stdin;
7
not a number
\\.
select count(*), sum(a) from copied;
\\copy (select b from copied) to stdout
copy copied to stdout;`,
      );
      return [out.split('\n').length, out.length, errors, status];
    },
    listen: async (place) => {
      const [out, errors, status] = await run(
        place,
        `listen psql; select 1;
         ${elsewhere("notify psql, 'news'")}
         select 3;
         unlisten psql; select 2;`,
      );
      return [out.replaceAll(/PID \d+/g, 'PID'), errors, status];
    },
    batch: (place) =>
      run(
        place,
        'select 8 / 1\\; select 8 / 2\\; select 8 / 0\\; select 8;\nselect 1\\; begin\\; select 2; commit;\n' +
          (isOf18 ? PIPELINE : ''),
      ),
    large: async (place) => {
      const [out, errors, status] = await run(
        place,
        `select length('${'x'.repeat(1_000_000)}');
         select repeat('é', 500000);
         \\set FETCH_COUNT 500
         select generate_series(1, 20000);`,
      );
      const lines = out.split('\n');
      return [lines[0], lines[1]?.length, lines.length, errors, status];
    },
    errors: (place) =>
      run(
        place,
        `drop table if exists once; create table once (n int primary key); insert into once values (1);
         insert into once values (1); selekt; select * from nowhere; select 1/0;
         begin; select 1/0; select 1; rollback;
         select count(*) from once;`,
      ),
  };
}
