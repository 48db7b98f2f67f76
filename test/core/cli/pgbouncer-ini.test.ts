/** Files of PgBouncer: what this reader finds in them is what PgBouncer finds, and what it refuses PgBouncer refuses. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as fc from 'fast-check';
import { Client } from 'pg';
import { afterAll, describe, expect, test } from 'vitest';
import { leadingInteger, parseConnectString } from '../../../core/cli/pgbouncer/connect-string.ts';
import { readIniConfig } from '../../../core/cli/pgbouncer/ini-config.ts';
import type { Connection } from '../../../core/cli/pgbouncer/ini-config.ts';
import { Remarks } from '../../../core/cli/pgbouncer/remarks.ts';
import { durationOf } from '../../../core/cli/pgbouncer/settings.ts';
import { ConfigError } from '../../../core/contract/errors.ts';
import { describeWith } from '../../support/programs.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-ini-'));
chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;

/** A folder for one run, which another user can read and write. */
function fresh(texts: Readonly<Record<string, string>>): string {
  files += 1;
  const own = join(folder, String(files));
  mkdirSync(own);
  chmodSync(own, 0o777);
  for (const [name, text] of Object.entries(texts)) {
    writeFileSync(join(own, name), text);
    chmodSync(join(own, name), 0o644);
  }
  return own;
}

/** Of PgBouncer 1.18. */
const KEYS =
  'dbname host port user password auth_user auth_dbname client_encoding datestyle timezone pool_size min_pool_size reserve_pool max_db_connections pool_mode connect_query application_name'.split(
    ' ',
  );
const USER_KEYS = ['pool_mode', 'max_user_connections'];

type Row = Readonly<Record<string, string>>;

function rowOf({ name, pairs }: Connection): Row {
  const number = (key: string, fallback: string): string => {
    const given = pairs.get(key);
    const value = given === undefined ? -1 : leadingInteger(given);
    return value < 0 ? fallback : String(value);
  };
  const port = pairs.get('port');
  return {
    name,
    host: pairs.get('host') ?? '',
    port: port === undefined ? '5432' : String(leadingInteger(port)),
    database: pairs.get('dbname') ?? name,
    force_user: pairs.get('user') ?? '',
    pool_size: number('pool_size', '20'),
    reserve_pool: number('reserve_pool', '0'),
    pool_mode: pairs.get('pool_mode')?.toLowerCase() ?? '',
  };
}

/** What this reader makes of a file: rows by name, or that it is refused. */
function here(path: string): readonly Row[] | 'refused' {
  try {
    const { databases, users } = readIniConfig(path, new Remarks());
    // What it does not know the command says, since a later PgBouncer may; 1.18 refuses it.
    const strange = (one: Connection, known: readonly string[]): boolean =>
      [...one.pairs.keys()].some((key) => !known.includes(key));
    if (databases.some((one) => strange(one, KEYS)) || users.some((one) => strange(one, USER_KEYS)))
      return 'refused';
    const named = databases.filter(({ name }) => name !== '*').map(rowOf);
    return named.toSorted((one, other) => ((one['name'] ?? '') < (other['name'] ?? '') ? -1 : 1));
  } catch (error) {
    if (error instanceof ConfigError) return 'refused';
    throw error;
  }
}

describe('lines', () => {
  const read = (text: string): Connection[] => {
    const path = join(fresh({ 'pgbouncer.ini': text }), 'pgbouncer.ini');
    return [...readIniConfig(path, new Remarks()).databases];
  };

  test('quotes, doubled quotes, and values with blanks', () => {
    expect(parseConnectString(" host='a b' user='o''brien'  password = 'it''s; # not' x=''''")).toEqual([
      ['host', 'a b'],
      ['user', "o'brien"],
      ['password', "it's; # not"],
      ['x', "'"],
    ]);
  });

  test.each([['host'], ['host='], ["host=''"], ["host='open"], ['=x'], ['host=a # comment']])(
    '%s is a syntax error',
    (text) => {
      expect(parseConnectString(text)).toBeUndefined();
    },
  );

  test('names in double quotes, as the manual has them', () => {
    expect(read('[databases]\n"my db" = host=a\n"a""b" = host=b\n').map(({ name }) => name)).toEqual([
      'my db',
      'a"b',
    ]);
  });

  test('a mistake is told by file and line, without a word of it', () => {
    const own = fresh({
      'pgbouncer.ini': '[databases]\n%include more.ini\n',
      'more.ini': "a = host=a\nb = password='s3cret\n",
    });
    const before = process.cwd();
    process.chdir(own);
    try {
      const wrong = (): unknown => readIniConfig('pgbouncer.ini', new Remarks());
      expect(wrong).toThrow(/^more\.ini:2: databases\.b: pairs such as/);
      expect(wrong).not.toThrow(/s3cret/);
    } finally {
      process.chdir(before);
    }
  });

  test.each([
    [90, '90s'],
    [600, '10m'],
    [7_200, '2h'],
    [172_800, '2d'],
    [1.5, '1500ms'],
    [0.0001, '1ms'],
    [1e9, '20d'],
  ])('%d seconds are %s', (seconds, text) => {
    expect(durationOf(seconds)).toBe(text);
  });
});

describeWith('pgbouncer', (pgbouncer) => {
  /** What the console takes to be asked. */
  const head = (own: string): string =>
    `[pgbouncer]\nlisten_port = 6432\nunix_socket_dir = ${own}\nauth_type = any\nadmin_users = admin\n`;

  async function ask(own: string): Promise<readonly Row[]> {
    const client = new Client({ host: own, port: 6432, user: 'admin', database: 'pgbouncer' });
    await client.connect();
    try {
      const { rows } = await client.query<Record<string, string | number | null>>('SHOW DATABASES');
      const names = Object.keys(rowOf({ name: '', pairs: new Map(), place: { file: '', line: 0 } }));
      return rows
        .filter((row) => row['name'] !== 'pgbouncer')
        .map((row) => Object.fromEntries(names.map((name) => [name, String(row[name] ?? '')])))
        .toSorted((one, other) => ((one['name'] ?? '') < (other['name'] ?? '') ? -1 : 1));
    } finally {
      await client.end();
    }
  }

  /** The socket is there a moment before it listens. */
  function refusedYet(error: NodeJS.ErrnoException): undefined {
    if (error.code !== 'ECONNREFUSED') throw error;
  }

  /** What PgBouncer makes of a file. */
  async function there(own: string): Promise<readonly Row[] | 'refused'> {
    const as = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    const child = spawn(pgbouncer, ['-q', 'pgbouncer.ini'], { ...as, cwd: own, stdio: 'ignore' });
    const ended = once(child, 'close');
    try {
      while (!existsSync(join(own, '.s.PGSQL.6432')) && child.exitCode === null) await sleep(5);
      for (;;) {
        const rows = child.exitCode === null ? await ask(own).catch(refusedYet) : 'refused';
        if (rows) return rows;
        await sleep(5);
      }
    } finally {
      child.kill('SIGTERM');
      await ended;
    }
  }

  async function compare(text: string, more: Readonly<Record<string, string>> = {}): Promise<void> {
    const own = fresh(more);
    const path = join(own, 'pgbouncer.ini');
    writeFileSync(path, head(own) + text, { mode: 0o644 });
    const before = process.cwd();
    process.chdir(own);
    try {
      expect(here('pgbouncer.ini'), text).toEqual(await there(own));
    } finally {
      process.chdir(before);
    }
  }

  const ONE = { 'one.ini': 'inc = host=i\n[users]\nbob = pool_mode=session\n' };

  test.each([
    ['[databases]\na = host=h port=5433 dbname=x\n'],
    ["[databases]\na = host='h 3' user='o''brien' password='it''s' pool_size=7\n"],
    ['[databases]\na = host = h4   port =  5434  \n'],
    ['[databases]\na = host=a.example,b.example\n'],
    ['[databases]\n* = host=fallback\nb=\n'],
    ['[databases]\na.b-c = host=h5\nX=host=H\nx=host=h\n'],
    ['[databases]\r\na = host=1\r\n\r\nb=host=2 \r\n'],
    ['[databases] a = host=1\nb=host=2\n'],
    ['  [databases]\n  a = host=1\n ; c\n # d\n\n\f\v b=host=2\n'],
    ['[databases]\na = host=1\n[users]\nu = pool_mode=session\n[databases]\nb=host=3\n'],
    ['[databases]\na = host=a host=b\na = port=9\n'],
    ['[databases]\na\t=\thost=a\tdbname=b\n'],
    ['[databases]\na = host=a\t port=1\n'],
    ['[databases]\na = host=a  \tport=1\n'],
    ["[databases]\na = host='a'\tport=1\n"],
    ['[databases]\na = port=5432x pool_size=-3 reserve_pool=4z\n'],
    ['[databases]\na = pool_mode=TRANSACTION\n'],
    ['[databases]\na = host=@x\nb = host=/tmp,/var\n'],
    ['[databases]\na = host=a # comment\n'],
    ['[databases]\na = host=a ; comment\n'],
    ['[databases]\na = host\n'],
    ['[databases]\na = host=\n'],
    ["[databases]\na = host=''\n"],
    ["[databases]\na = host='open\n"],
    ['[databases]\na b = host=a\n'],
    ['[databases]\n= host=a\n'],
    ['[databases]\nbad\n'],
    ['[databases\na = host=a\n'],
    ['[ databases ]\na = host=a\n'],
    ['[other]\na=b\n'],
    ['[databases]\n%includex\n'],
    ['[databases]\n%include missing.ini\n'],
    ['[databases]\na = host=1'],
    ['[databases]\n;a = host=1\n#b = host=2\n;'],
  ])('%j', async (text) => {
    await compare(text);
  });

  test('a section goes on in an included file, and behind it with the last one of that', async () => {
    await compare('[databases]\na = host=1\n%include one.ini\nc = pool_mode=transaction\n', ONE);
    await compare('[databases]\na = host=1\n%include \t one.ini \t\n[databases]\nc = host=c\n', ONE);
    await compare('%include loop.ini\n', { 'loop.ini': '%include loop.ini\n' });
    const chain = Object.fromEntries(
      Array.from(
        { length: 12 },
        (_, n) => [`${n}.ini`, n < 11 ? `%include ${n + 1}.ini\n` : '[databases]\na = host=1\n'] as const,
      ),
    );
    for (const first of [0, 1, 2, 3]) await compare(`%include ${first}.ini\n`, chain);
  });

  test('files of random pieces', async () => {
    const pieces = [
      'host=a',
      "user='b c'",
      "''",
      "'",
      ' ',
      '\t',
      '=',
      'port=1',
      'pool_size=2',
      '#',
      ';',
      '\n',
      '\r',
      '"x"',
      '[users]',
      '[databases]',
      '\nb=',
      'x',
    ];
    const text = fc
      .array(fc.constantFrom(...pieces), { maxLength: 9 })
      .map((parts) => `[databases]\na = ${parts.join('')}\n`);
    // Quoted names are in PgBouncer's manual, and its 1.18 does not read them.
    // Of two lines with one name only the last is known here, and 1.18 refuses keys that it does not know in either.
    const known = text.filter((one) => !one.includes('"') && one.split('\nb=').length <= 2);
    await fc.assert(
      fc.asyncProperty(known, (one) => compare(one)),
      { numRuns: 60 },
    );
  }, 120_000);
});
