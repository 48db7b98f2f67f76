/** `postern import`: what it makes of a pgbouncer.ini, what it says of the rest, and that the same psql line works through both. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { format } from 'prettier';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { postern } from '../../support/command.ts';
import type { Ran } from '../../support/command.ts';
import { freePort } from '../../support/free-port.ts';
import { GatewayProcess, prepareCheckout } from '../../support/gateway-process.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { describeWith } from '../../support/programs.ts';

const VERIFIER = `SCRAM-SHA-256$4096:c2FsdHNhbHRzYWx0$${'A'.repeat(43)}=:${'A'.repeat(43)}=`;
const folders: string[] = [];
let folder: string;

beforeAll(prepareCheckout, 120_000);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-import-'));
  folders.push(folder);
});
afterAll(() => {
  for (const one of folders) rmSync(one, { recursive: true });
});

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    writeFileSync(join(folder, name), text);
    chmodSync(join(folder, name), 0o640);
  }
}

function imported(
  files: Readonly<Record<string, string>>,
  ...args: readonly string[]
): Ran & { readonly text: string } {
  write(files);
  const ran = postern(folder, ['import', 'pgbouncer.ini', ...args]);
  const there = readdirSync(folder).includes('gateway.config.ts');
  return { ...ran, text: there ? readFileSync(join(folder, 'gateway.config.ts'), 'utf8') : '' };
}

const USERLIST = `"shop" "${VERIFIER}"\n"bob" "pl41n"\n"old" "md5${'a'.repeat(32)}"\n"none" ""\n"pg_x" "y"\n`;
const INI = `; three databases
[databases]
orders = host=10.0.0.5 port=5433 dbname=orders_prod pool_size=7 pool_mode=session connect_query='select ''a'''
reports = host=r1.example,r2.example user=report password='s3''cret x' timezone=UTC
%include more.ini
[users]
bob = pool_mode=session max_user_connections=3
[pgbouncer]
listen_addr = 127.0.0.1, 10.0.0.1
listen_port = 7000
unix_socket_dir = /run/pooler
unix_socket_mode = 0770
auth_type = md5
auth_file = userlist.txt
pool_mode = transaction
default_pool_size = 10
min_pool_size = 2
reserve_pool_size = 3
reserve_pool_timeout = 2.5
max_client_conn = 1000
query_timeout = 30
idle_transaction_timeout = 60
client_idle_timeout = 3600
server_idle_timeout = 0
server_lifetime = 1800
query_wait_timeout = 20
server_tls_sslmode = prefer
server_reset_query_always = 1
ignore_startup_parameters = extra_float_digits, options
admin_users = root
so_reuseport = 1
bogus_new = 3
constructor = 3
`;
const MORE = `local = host=/run/pg
admin_db = host=localhost user=shop
`;

describe('a file with everything', () => {
  const all = { 'pgbouncer.ini': INI, 'more.ini': MORE, 'userlist.txt': USERLIST };
  let ran: ReturnType<typeof imported>;

  test('becomes a config that check takes, formatted, with a comment for each line that is not taken over', async () => {
    ran = imported(all);
    expect(ran.stderr).toContain('gateway.config.ts is written and valid: 4 databases, 3 users.');
    expect(ran).toMatchObject({ status: 0, stdout: '' });
    expect(await format(ran.text, { parser: 'typescript', printWidth: 110, singleQuote: true })).toBe(
      ran.text,
    );
    const variables = ['SHOP_PASSWORD', 'BOB_PASSWORD', 'OLD_PASSWORD', 'REPORT_PASSWORD'];
    expect(ran.stderr).toContain(
      `Set before the start, each to the password of its role at the server: ${variables.join(', ')}\n`,
    );
    const env = Object.fromEntries(variables.map((name) => [name, 'x']));
    expect(postern(folder, ['check'], env)).toMatchObject({ status: 0, stderr: '' });
  });

  test.each([
    [
      "{\n      name: 'tcp',\n      host: '127.0.0.1',\n      port: 7000,\n      auth: 'scram',\n      startup: { ignore: ['extra_float_digits'] },",
    ],
    ["name: 'tcp-2'"],
    ["path: '/run/pooler'"],
    ['mode: 0o770'],
    ["database: 'orders_prod'"],
    [
      "pool: {\n        size: 21,\n        perRole: 7,\n        min: 2,\n        reserve: 3,\n        reserveAfter: '2500ms',\n        idleTimeout: '20d',\n        maxLifetime: '30m',\n        reset: 'always',\n        queueTimeout: '20s',\n      }",
    ],
    ["host: ['r1.example', 'r2.example'],\n      target: 'any'"],
    ["login: { kind: 'password', passwords: { report: env('REPORT_PASSWORD') } }"],
    ["startup: { default: { timezone: 'UTC' } }"],
    ["host: '/run/pg'"],
    ["tls: { mode: 'verify-full' }"],
    ["passwords({ file: 'userlist.txt' })"],
    ["{ issuer: 'password:', claim: 'sub', allow: ['shop', 'bob', 'old'], databases: ['orders', 'local'] }"],
    ["{ issuer: 'password:', claim: 'sub', map: { '*': 'report' }, databases: ['reports'] }"],
    ["{ issuer: 'password:', claim: 'sub', map: { '*': 'shop' }, databases: ['admin_db'] }"],
    ["limits({ idle: '1h', timeouts: { statement: '30s', idleInTransaction: '1m' } })"],
    ["loginTimeout: '20s'"],
  ])('has %s', (piece) => {
    expect(ran.text).toContain(piece);
  });

  test.each([
    ['pgbouncer.ini:3: orders: connect_query: no SQL is run on a new connection'],
    ['pgbouncer.ini:4: reports: the password is not copied'],
    ['pgbouncer.ini:7: user bob: pool_mode: a mode is for a database'],
    ['pgbouncer.ini:7: user bob: max_user_connections: '],
    ['pgbouncer.ini:9: clients of other machines get in by TLS only'],
    ['pgbouncer.ini:13: auth_type = md5: here each user proves its password by SCRAM-SHA-256'],
    ['pgbouncer.ini:20: max_client_conn: '],
    ['pgbouncer.ini:21: query_timeout: the server cancels the statement'],
    ['pgbouncer.ini:24: server_idle_timeout = 0: unused connections are closed at some time'],
    ['pgbouncer.ini:27: server_tls_sslmode = prefer: the gateway verifies servers (verify-full)'],
    ['pgbouncer.ini:29: ignore_startup_parameters: options needs no permission here'],
    ['pgbouncer.ini:30: admin_users: operators come with tokens'],
    ['pgbouncer.ini:31: so_reuseport: '],
    ['pgbouncer.ini:32: bogus_new: is not known to this command'],
    ['pgbouncer.ini:33: constructor: is not known to this command'],
    ['userlist.txt:3: "old" has md5, which SCRAM cannot use'],
    ['userlist.txt:4: "none" has no password'],
    ['userlist.txt:5: the user "pg_x" can be no role here'],
  ])('says %s', (line) => {
    expect(ran.stderr.split('\n').some((one) => one.startsWith(line))).toBe(true);
    expect(ran.text).toContain(`// ${line}`);
  });

  test('no password of any file is printed or written', () => {
    expect(ran.stderr + ran.text).not.toMatch(/s3'+cret|pl41n|c2FsdHNhbHRzYWx0|aaaaaaaa/);
  });
});

describe('parts', () => {
  const one = (
    settings: string,
    databases = 'd = host=h',
    files: Readonly<Record<string, string>> = {},
  ): ReturnType<typeof imported> =>
    imported({
      'pgbouncer.ini': `[databases]\n${databases}\n[pgbouncer]\nauth_file = userlist.txt\n${settings}\n`,
      'userlist.txt': `"shop" "${VERIFIER}"\n`,
      ...files,
    });

  test('all other databases, and one user for all', () => {
    expect(one('unix_socket_dir =', '* = host=h').text).toMatch(
      /'\*': \{[^]*roles\(\{ claim: 'sub', allow: \['shop'\] \}\)/,
    );
    rmSync(join(folder, 'gateway.config.ts'));
    expect(one('', 'd = user=app').text).toContain("roles({ claim: 'sub', map: { '*': 'app' } })");
  });

  test('without a host it is the socket, in the folder of the settings', () => {
    expect(one('unix_socket_dir = /run/pg', 'd = ').text).toMatch(/d: \{\n +host: '\/run\/pg'/);
  });

  test('one user with several passwords has several variables', () => {
    const { text } = one(
      '',
      'a = host=h user=app password=x\nb = host=i user=app password=y\nc = host=j user=app password=x',
    );
    expect(text.match(/env\('\w+'\)/g)).toEqual([
      "env('APP_PASSWORD')",
      "env('B_APP_PASSWORD')",
      "env('APP_PASSWORD')",
    ]);
  });

  test('passwords that a query has', () => {
    const query = {
      'pgbouncer.ini': '[databases]\nd = host=h auth_user=asker\n[pgbouncer]\nauth_type = scram-sha-256\n',
    };
    const unknown = imported(query);
    expect(unknown).toMatchObject({ status: 1, text: '' });
    expect(unknown.stderr).toContain('name those by --user');
    const { status, text, stderr } = imported(query, '--user', 'shop', '--user', 'bob');
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(text).toContain("passwords({ query: { database: 'd', role: 'postern_passwords' } })");
    expect(text).toContain("allow: ['shop', 'bob']");
    expect(stderr).toContain('run what postern sql passwords prints in the database of d');
    expect(stderr).toContain('POSTERN_PASSWORDS_PASSWORD');
  });

  test('TLS of clients and servers: files that are not there leave a config that is not valid yet, and say so', () => {
    const tls =
      'client_tls_sslmode = verify-ca\nclient_tls_cert_file = c.crt\nclient_tls_key_file = c.key\nclient_tls_ca_file = ca.crt\nserver_tls_sslmode = verify-ca\nserver_tls_ca_file = /nowhere/ca.crt\nlisten_addr=*';
    const { status, stderr, text } = one(tls);
    expect(status).toBe(1);
    expect(stderr).toContain('is written and not valid yet');
    expect(stderr).toMatch(/^ {2}listen\[0\]\.tls\.cert: /m);
    expect(text).toContain(
      "tls: { cert: 'c.crt', key: 'c.key', clientCa: 'ca.crt', clientCertificate: 'required' }",
    );
    expect(text).toContain("plaintext: 'never'");
    expect(text).toContain("tls: { mode: 'verify-ca', ca: '/nowhere/ca.crt' }");
    expect(text).toContain("host: '0.0.0.0'");
  });

  test('users by certificate', () => {
    const { text } = one(
      'auth_type = cert\nclient_tls_sslmode = verify-full\nclient_tls_cert_file = a\nclient_tls_key_file = b\nclient_tls_ca_file = c\nlisten_addr = 127.0.0.1',
    );
    expect(text).toContain("certificates({ by: 'commonName', allow: [{ name: ['shop'] }] })");
    expect(text).toContain("auth: 'certificate'");
  });

  test('a second [pgbouncer] sets all to the defaults, as in PgBouncer, and that is said', () => {
    const { stderr, text } = one('default_pool_size = 3\n[pgbouncer]\nauth_file = userlist.txt');
    expect(stderr).toContain(
      'pgbouncer.ini:5: default_pool_size does not count: the later [pgbouncer] in pgbouncer.ini:6',
    );
    expect(text).not.toContain('size: 3');
  });

  test.each([
    ['bad line\n', 'pgbouncer.ini:1: a name, = and a value are needed'],
    ["[databases]\na = password='s3cret\n", 'pgbouncer.ini:2: databases.a: pairs such as'],
    ['[databases]\na = pool_mode=s3cret\n', 'pgbouncer.ini:2: databases.a: pool_mode: one of'],
    ['[databases]\na = port=s3cret\n', 'pgbouncer.ini:2: databases.a: port: a number is needed'],
    [
      '[pgbouncer]\nserver_lifetime = 1h\nauth_file = u\n',
      'pgbouncer.ini:2: server_lifetime: a number of seconds',
    ],
    [
      '[pgbouncer]\ndefault_pool_size = 5 # x\nauth_file = u\n',
      'pgbouncer.ini:2: default_pool_size: a whole number',
    ],
    [
      '[pgbouncer]\npool_mode = other\nauth_file = u\n',
      'pgbouncer.ini:2: pool_mode: one of session, transaction, statement',
    ],
    ['%include none.ini\n', 'pgbouncer.ini:1: none.ini cannot be read: ENOENT'],
  ])('%j is refused by file and line, and nothing is written', (ini, reason) => {
    const { status, stdout, stderr, text } = imported({ 'pgbouncer.ini': ini }, '--user', 'shop');
    expect({ status, stdout, text }).toEqual({ status: 1, stdout: '', text: '' });
    expect(stderr).toContain(`postern: ${reason}`);
    expect(stderr).not.toContain('s3cret');
  });

  test('a config that is there stays', () => {
    write({ 'gateway.config.ts': 'mine' });
    expect(one('')).toMatchObject({ status: 1, text: 'mine' });
    expect(postern(folder, ['import', 'pgbouncer.ini', '--force']).status).toBe(0);
  });
});

describeWith('pgbouncer', (pgbouncer) => {
  const PASSWORDS = { shop: 'sh0p', billing: 'b1lling' } as const;
  const NAMES = ['orders', 'billing', 'reports'] as const;
  let postgres: OwnPostgres;

  beforeAll(async () => {
    postgres = await startPostgres();
    for (const [role, password] of Object.entries(PASSWORDS))
      await postgres.sql(`create role ${role} login password '${password}'`);
    await postgres.sql("create role reporter login password 'r3ports'");
    for (const name of NAMES) await postgres.sql(`create database ${name}_db`);
  }, 60_000);
  afterAll(() => postgres.stop());

  /** The same line for both: only the port differs. */
  function psql(
    port: number,
    user: keyof typeof PASSWORDS,
    database: string,
    password: string = PASSWORDS[user],
  ): string {
    const line = [
      '-XAtc',
      'select session_user, current_database()',
      `host=127.0.0.1 port=${port} user=${user} dbname=${database}`,
    ];
    const env = { ...process.env, PGPASSWORD: password };
    const { stdout, stderr } = spawnSync('psql', line, { encoding: 'utf8', env });
    return stdout.trim() || stderr.trim();
  }

  test('three databases and a list of verifiers: the same psql lines, the same answers', async () => {
    const port = await freePort();
    const server = `host=127.0.0.1 port=${postgres.port}`;
    const verifiers = await postgres.sql(
      "select rolname, rolpassword from pg_authid where rolname in ('shop', 'billing') order by 1",
    );
    const list = verifiers
      .map((row) => `"${String(row['rolname'])}" "${String(row['rolpassword'])}"\n`)
      .join('');
    write({
      'userlist.txt': list,
      'pgbouncer.ini': `[databases]
orders = ${server} dbname=orders_db
billing = ${server} dbname=billing_db pool_mode=transaction
reports = ${server} dbname=reports_db
forced = ${server} dbname=reports_db user=reporter password=r3ports
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = userlist.txt
`,
    });
    const asked = NAMES.flatMap((database) =>
      (['shop', 'billing'] as const).map((user) => [user, database] as const),
    );
    const wanted = [
      'shop|orders_db',
      'billing|orders_db',
      'shop|billing_db',
      'billing|billing_db',
      'shop|reports_db',
      'billing|reports_db',
    ];

    chmodSync(folder, 0o755);
    for (const name of ['userlist.txt', 'pgbouncer.ini']) chmodSync(join(folder, name), 0o644);
    const as = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {};
    const bouncer = spawn(pgbouncer, ['-q', 'pgbouncer.ini'], { ...as, cwd: folder, stdio: 'ignore' });
    const gone = once(bouncer, 'close');
    try {
      while (psql(port, 'shop', 'orders').includes('Connection refused')) await sleep(20);
      expect(asked.map(([user, database]) => psql(port, user, database))).toEqual(wanted);
      expect(psql(port, 'shop', 'orders', 'wrong')).toContain('authentication failed');
    } finally {
      bouncer.kill('SIGTERM');
      await gone;
    }

    for (const name of ['userlist.txt', 'pgbouncer.ini']) chmodSync(join(folder, name), 0o640);
    expect(postern(folder, ['import', 'pgbouncer.ini'])).toMatchObject({ status: 0 });
    const gateway = await GatewayProcess.start({
      config: readFileSync(join(folder, 'gateway.config.ts'), 'utf8').replace(
        'userlist.txt',
        join(folder, 'userlist.txt'),
      ),
      env: {
        SHOP_PASSWORD: PASSWORDS.shop,
        BILLING_PASSWORD: PASSWORDS.billing,
        REPORTER_PASSWORD: 'r3ports',
      },
    });
    try {
      expect(asked.map(([user, database]) => psql(port, user, database))).toEqual(wanted);
      // PgBouncer 1.18 cannot log in there: it takes what it has of the client's password for that of the role.
      expect(psql(port, 'shop', 'forced')).toBe('reporter|reports_db');
      expect(psql(port, 'shop', 'orders', 'wrong')).toContain('authentication failed');
      gateway.signal('SIGTERM');
      expect(await gateway.ended()).toBe(0);
    } finally {
      await gateway.remove();
    }
  }, 60_000);
});
