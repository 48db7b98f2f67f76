/** `postern check`, and with `--online`: what it finds, in which words, and that it leaves nothing. */
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import net from 'node:net';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import type { Ran } from '../../support/command.ts';
import { freePort } from '../../support/free-port.ts';
import { prepareCheckout } from '../../support/gateway-process.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { describeWith } from '../../support/programs.ts';
import { RedisServer } from '../../support/redis.ts';
import { issuer } from '../../support/token.ts';

const shim = fileURLToPath(new URL('../../../core/cli/postern.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'postern-check-'));
const tokens = issuer({ algorithms: ['ES256'] });
const SECRETS = /s3cret|wr0ng/;
let files: Certificates;
let postgres: OwnPostgres;

/** The first line that fits counts. */
const HBA = [
  'host all rejected 127.0.0.1/32 reject',
  'host all stranger 127.0.0.1/32 scram-sha-256',
  'hostnossl all only_tls 127.0.0.1/32 reject',
  'hostssl all only_tls 127.0.0.1/32 scram-sha-256',
  'local all all scram-sha-256',
  'host all postgres,reader,writer,mighty,copier,member,outsider 127.0.0.1/32 scram-sha-256',
];

beforeAll(async () => {
  prepareCheckout();
  files = await certificates();
  postgres = await startPostgres({ ssl: { cert: files.server.cert, key: files.server.key }, hba: HBA });
  await postgres.sql(`
    create role mighty login superuser password 's3cret';
    create role copier login replication password 's3cret';
    create role maker nologin createrole;
    create role member login password 's3cret' in role maker;
    create role rejected login password 's3cret';
    create role only_tls login password 's3cret';
    create role outsider login password 's3cret';
    alter role reader password 's3cret'; alter role writer password 's3cret'`);
  await postgres.sql('create database closed');
  await postgres.sql('revoke connect on database closed from public');
  writeFileSync(join(folder, 'jwks.json'), JSON.stringify(tokens.jwks));
}, 120_000);
afterAll(async () => {
  await postgres.stop();
  files.remove();
  rmSync(folder, { recursive: true });
});

/** Not the synchronous way: servers of this process have to answer. */
async function check(config: string, ...args: readonly string[]): Promise<Ran> {
  const path = join(folder, 'gateway.config.ts');
  writeFileSync(path, config);
  const child = spawn(process.execPath, [shim, 'check', ...args], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const text = { stdout: '', stderr: '' };
  child.stdout.on('data', (chunk: Buffer) => (text.stdout += String(chunk)));
  child.stderr.on('data', (chunk: Buffer) => (text.stderr += String(chunk)));
  await once(child, 'close');
  expect(text.stdout + text.stderr).not.toMatch(SECRETS);
  return { status: child.exitCode, ...text };
}

const JWT = `jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'jwks.json' }] })`;

interface Parts {
  /** Of the entry `orders`. */
  readonly entry?: string;
  readonly passwords?: Readonly<Record<string, string>>;
  readonly allow?: readonly string[];
  /** More plugins. */
  readonly plugins?: string;
  /** More databases. */
  readonly databases?: string;
  readonly jwt?: string;
  /** The credential of the listener. */
  readonly auth?: string;
}

function config({
  entry,
  passwords = { reader: 's3cret' },
  allow,
  plugins = '',
  databases = '',
  jwt = JWT,
  auth = 'password',
}: Parts = {}): string {
  const roles = allow ?? Object.keys(passwords);
  const where = entry ?? `host: '127.0.0.1', port: ${postgres.port}, database: 'postgres'`;
  return `import { defineConfig, file, only } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { passwords } from 'postern/plugins/passwords';
import { rateLimit } from 'postern/plugins/rate-limit';
import { roles } from 'postern/plugins/roles';
export default defineConfig({
  listen: { auth: '${auth}' },
  databases: {
    orders: { ${where}, login: { kind: 'password', passwords: ${JSON.stringify(passwords)} } },
    ${databases}
  },
  plugins: [${jwt}, roles({ claim: 'role', allow: ${JSON.stringify(roles)} }), ${plugins}],
});
`;
}

const linesOf = ({ stdout }: Ran): string[] =>
  stdout.split('\n').filter((line) => /^(?:ok|warning|error) /.test(line));

describe('without --online', () => {
  test('a secret in a file that is not there, or is empty, is an error; nothing is asked', async () => {
    writeFileSync(join(folder, 'empty.secret'), '\n');
    const databases = `x: { host: '192.0.2.1', login: { kind: 'password', passwords: { reader: file('none.secret'), writer: file('empty.secret') } } }`;
    const ran = await check(config({ databases }));
    expect(ran.status).toBe(1);
    expect(linesOf(ran)).toEqual([
      `error    file('${join(folder, 'none.secret')}'): the file cannot be read: ENOENT`,
      `error    file('${join(folder, 'empty.secret')}'): the file is empty`,
    ]);
  });

  test('a role that plugins map and that has no password is a warning, and the config valid', async () => {
    const ran = await check(config({ allow: ['reader', 'writer'] }));
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    expect(linesOf(ran)).toEqual([
      'warning  databases.orders.login.passwords: role "writer" has no password here, and plugins may map it: its sessions are refused',
    ]);
  });

  test('a role that plugins map only at other databases needs no password', async () => {
    const at = `{ host: '127.0.0.1', login: { kind: 'password', passwords: { writer: 'x' } } }`;
    const ran = await check(
      `import { defineConfig } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
export default defineConfig({
  databases: { orders: { host: '127.0.0.1', login: { kind: 'password', passwords: { reader: 'x' } } }, shop: ${at} },
  plugins: [${JWT}, roles([
    { claim: 'role', allow: ['reader'], databases: ['orders'] },
    { claim: 'role', map: { '*': 'writer' }, databases: ['shop'] },
  ])],
});
`,
    );
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    expect(linesOf(ran)).toEqual([]);
  });

  test('what is right has no line', async () => {
    const ran = await check(config());
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    expect(linesOf(ran)).toEqual([]);
  });
});

describe('databases', () => {
  test('each role logs in at each entry: a line with version, kind and TLS, and no connection stays', async () => {
    const ran = await check(config({ passwords: { reader: 's3cret', writer: 's3cret' } }), '--online');
    const at = `127.0.0.1 port ${postgres.port}: primary, PostgreSQL ${postgres.version}`;
    expect(ran).toMatchObject({ status: 0, stderr: '' });
    expect(linesOf(ran)).toEqual([
      expect.stringContaining(`ok       databases.orders: role "reader" logs in at ${at}`),
      expect.stringContaining(`ok       databases.orders: role "writer" logs in at ${at}`),
      'ok       jwt.issuers[0]: https://id.example has 1 key',
    ]);
    const open = "select count(*)::int as open from pg_stat_activity where usename in ('reader', 'writer')";
    while ((await postgres.sql(open))[0]?.['open'] !== 0);
  });

  test.each([
    ['mighty', 'role "mighty" is privileged: take that away, or list the role in privilegedRoles'],
    ['copier', 'role "copier" is privileged'],
    ['member', 'role "member" can become "maker", which is privileged'],
    ['rejected', 'pg_hba.conf of the server does not let the gateway in: pg_hba.conf rejects connection'],
    [
      'only_tls',
      'pg_hba.conf of the server does not let the gateway in: pg_hba.conf rejects connection for host "127.0.0.1", user "only_tls", database "postgres", no encryption',
    ],
    ['stranger', 'the server refuses the password: password authentication failed for user "stranger"'],
  ])('the role %s cannot be used, and the line says why', async (role, why) => {
    const ran = await check(config({ passwords: { [role]: 's3cret' } }), '--online');
    expect(ran.status).toBe(1);
    expect(linesOf(ran)[0]).toContain(
      `error    databases.orders: role "${role}" at 127.0.0.1 port ${postgres.port}: ${why}`,
    );
  });

  test.each([
    [
      'a wrong password',
      { passwords: { reader: 'wr0ng' } },
      'the server refuses the password: password authentication failed for user "reader"',
    ],
    [
      'no such database',
      { entry: `host: '127.0.0.1', port: PORT, database: 'none'` },
      'there is no such database on the server: database "none" does not exist',
    ],
    [
      'no right to connect',
      { entry: `host: '127.0.0.1', port: PORT, database: 'closed'`, passwords: { outsider: 's3cret' } },
      'the role may not connect to the database: permission denied for database "closed"',
    ],
    [
      'TLS of an unknown authority',
      { entry: `host: 'localhost', port: PORT, database: 'postgres', tls: {}` },
      'the certificate of the server is of no known authority',
    ],
    [
      'no TLS where it is demanded',
      { entry: `host: SOCKETS, port: PORT, database: 'none'` },
      'does not exist',
    ],
  ] as const)('%s is an error', async (_, parts: Parts, why) => {
    const entry = parts.entry
      ?.replace('PORT', String(postgres.port))
      .replace('SOCKETS', JSON.stringify(postgres.socketDir));
    const ran = await check(config({ ...parts, ...(entry !== undefined && { entry }) }), '--online');
    expect(ran.status).toBe(1);
    expect(linesOf(ran)[0]).toMatch(/^error {4}databases\.orders: /);
    expect(linesOf(ran)[0]).toContain(why);
  });

  test('TLS that is verified is said, and what is not is a warning', async () => {
    const at = (tls: string): string =>
      `host: 'localhost', port: ${postgres.port}, database: 'postgres', tls: ${tls}`;
    const passwords = { only_tls: 's3cret' };
    const good = await check(
      config({ entry: at(`{ ca: ${JSON.stringify(files.ca.certFile)} }`), passwords }),
      '--online',
    );
    expect(good.status).toBe(0);
    expect(linesOf(good)[0]).toContain('TLS, verify-full (TLSv1.3)');
    const weak = await check(config({ entry: at(`{ mode: 'require' }`), passwords }), '--online');
    expect(weak.status).toBe(0);
    expect(linesOf(weak)).toContain(
      `warning  databases.orders.tls: localhost port ${postgres.port}: mode 'require' verifies no certificate: whoever is between can read everything`,
    );
    const other = at(`{ ca: ${JSON.stringify(files.ca.certFile)}, servername: 'elsewhere.example' }`);
    const wrong = await check(config({ entry: other, passwords }), '--online');
    expect(wrong.status).toBe(1);
    expect(linesOf(wrong)[0]).toContain('the certificate of the server is for another name');
  });

  test('of several servers each has its lines; one that is away has one, whatever the number of roles', async () => {
    const gone = await freePort();
    const entry = `host: ['127.0.0.1', { host: 'localhost', port: ${gone} }], port: ${postgres.port}, database: 'postgres'`;
    const ran = await check(config({ entry, passwords: { reader: 's3cret', writer: 's3cret' } }), '--online');
    expect(ran.status).toBe(1);
    expect(linesOf(ran).filter((line) => line.startsWith('ok       databases.orders: '))).toHaveLength(2);
    const errors = linesOf(ran).filter((line) => line.startsWith('error'));
    expect(errors).toEqual([
      expect.stringContaining(`error    databases.orders: localhost port ${gone}: connect ECONNREFUSED`),
    ]);
  });

  test('a server that takes the connection and says nothing is given up', async () => {
    const sockets = new Set<Socket>();
    const silent = net.createServer((socket) => sockets.add(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const ran = await check(config({ entry: `host: '127.0.0.1', port: ${port}` }), '--online');
    expect(ran.status).toBe(1);
    expect(linesOf(ran)[0]).toMatch(
      /^error {4}databases\.orders: .*(?:no answer within 5 seconds|not a word within 5000 ms)/,
    );
    expect(sockets.size).toBe(1);
    for (const socket of sockets) socket.destroy();
    silent.close();
  }, 30_000);

  test("'*' is only dialed, and a name on the command line is looked at as a client's would be", async () => {
    const star = `'*': { host: '127.0.0.1', port: ${postgres.port}, login: { kind: 'password', passwords: { reader: 's3cret' } } },`;
    const ran = await check(
      config({ databases: star }),
      '--online',
      '--database',
      'postgres',
      '--database',
      'none',
    );
    expect(ran.status).toBe(1);
    expect(linesOf(ran)).toEqual(
      expect.arrayContaining([
        `warning  databases.*: 127.0.0.1 port ${postgres.port} is there (without TLS), and nobody logged in: no role is known that plugins map`,
        expect.stringContaining('ok       databases.postgres: role "reader" logs in'),
        expect.stringContaining('error    databases.none: role "reader" at'),
      ]),
    );
  });
});

describe('plugins', () => {
  test('each issuer is asked for its keys', async () => {
    const server = createServer((request, response) => {
      response.setHeader('content-type', 'application/json');
      response.end(request.url === '/jwks.json' ? JSON.stringify(tokens.jwks) : 'no');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const gone = await freePort();
    const jwt = `jwt({ issuers: [
      { issuer: 'https://a.example', audience: 'postern', jwks: 'http://127.0.0.1:${port}/jwks.json' },
      { issuer: 'https://b.example', audience: 'postern', jwks: 'http://127.0.0.1:${gone}/jwks.json' },
      { issuer: 'https://c.example', audience: 'postern', jwks: 'http://127.0.0.1:${port}/other' },
    ] })`;
    const ran = await check(config({ jwt }), '--online');
    server.close();
    expect(ran.status).toBe(1);
    expect(linesOf(ran).slice(-3)).toEqual([
      'ok       jwt.issuers[0]: https://a.example has 1 key',
      expect.stringMatching(
        /^error {4}jwt\.issuers\[1\]: no keys of issuer https:\/\/b\.example: .*ECONNREFUSED/,
      ),
      expect.stringMatching(/^error {4}jwt\.issuers\[2\]: no keys of issuer https:\/\/c\.example: /),
    ]);
  });

  test('passwords: the file, and the function of a database', async () => {
    writeFileSync(join(folder, 'userlist.txt'), '"shop" "s3cret"\n');
    chmodSync(join(folder, 'userlist.txt'), 0o600);
    const of = (source: string): Parts => ({ jwt: `passwords(${source})`, auth: 'scram' });
    expect(linesOf(await check(config(of(`{ file: 'userlist.txt' }`)), '--online'))).toContain(
      `ok       passwords.file: ${join(folder, 'userlist.txt')} has 1 users`,
    );
    chmodSync(join(folder, 'userlist.txt'), 0o644);
    const wide = await check(config(of(`{ file: 'userlist.txt' }`)), '--online');
    expect(wide.status).toBe(1);
    expect(linesOf(wide)).toContain(
      'error    passwords.file: others can read it, or its group write it (chmod 640, or 600)',
    );
    const query = await check(config(of(`{ query: { database: 'orders', role: 'reader' } }`)), '--online');
    expect(query.status).toBe(1);
    expect(linesOf(query).at(-1)).toMatch(/^error {4}passwords\.query: .*postern.*does not exist/);
  });

  test('a plugin of your own says what it found; one that throws, or never answers, is an error', async () => {
    const own = (name: string, probe: string): string => `{ name: '${name}', ${probe} }`;
    const plugins = [
      own(
        'good',
        `probe: () => [{ path: 'good.url', text: 'there' }, { path: 'good.more', text: 'old', level: 'warning' }]`,
      ),
      own('bad', `async probe() { throw new Error('away', { cause: new Error('refused') }); }`),
      own('slow', `probe: () => new Promise(() => { setInterval(() => {}, 1000); })`),
    ].join(', ');
    const ran = await check(config({ plugins }), '--online');
    expect(ran.status).toBe(1);
    expect(linesOf(ran).slice(-4)).toEqual([
      'ok       good.url: there',
      'warning  good.more: old',
      'error    bad: away: refused',
      expect.stringMatching(/^error {4}slow: /),
    ]);
  }, 30_000);
});

describeWith('redis-server', (program) => {
  test('the shared store of rateLimit', async () => {
    const redis = await RedisServer.start(program, { password: 's3cret' });
    const store = (password: string, port = redis.port): Parts => ({
      plugins: `rateLimit({ failOpen: false, connections: { per: 'address', limit: '9/s' }, store: { kind: 'redis', url: 'redis://127.0.0.1:${port}', password: '${password}' } })`,
    });
    try {
      const good = await check(config(store('s3cret')), '--online');
      expect(good.stderr).toBe('');
      expect(linesOf(good)).toContain('ok       rateLimit.store: the store answers');
      const wrong = await check(config(store('wr0ng')), '--online');
      expect(wrong.status).toBe(1);
      expect(linesOf(wrong).at(-1)).toMatch(/^error {4}rateLimit\.store: the store does not answer: /);
    } finally {
      await redis.stop();
    }
  }, 30_000);
});
