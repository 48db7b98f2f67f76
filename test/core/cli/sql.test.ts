/** What `postern sql roles` prints is run on a server, its lines are put into pg_hba.conf, and then people log in. */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { rolesSql } from '../../../core/cli/sql.ts';
import { checkConfig } from '../../../core/config/check.ts';
import type { DatabaseOptions, Databases } from '../../../core/contract/database.ts';
import { only } from '../../../core/contract/config.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import { jwt } from '../../../plugins/jwt/index.ts';
import { roles } from '../../../plugins/roles/index.ts';
import { makeAuthority } from '../../support/authorities.ts';
import type { MadeAuthority } from '../../support/authorities.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { startGateway } from '../../support/gateway.ts';
import type { RunningGateway } from '../../support/gateway.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { describeWith } from '../../support/programs.ts';
import { issuer } from '../../support/token.ts';

const keys = issuer({ algorithms: ['ES256'] });
const folder = mkdtempSync(join(tmpdir(), 'postern-sql-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const maps = (...names: readonly string[]): AnyPlugin => ({ name: 'mapping', maps: names });
const password = (...names: readonly string[]): DatabaseOptions['login'] => ({
  kind: 'password',
  passwords: Object.fromEntries(names.map((name) => [name, 'canary'])),
});

/** What is printed for a config. */
async function printed(
  databases: Databases,
  plugins: readonly AnyPlugin[] = [maps('reader', 'writer')],
  asked: { database?: string; roles?: readonly string[] } = {},
): Promise<string> {
  return rolesSql(checkConfig({ databases, plugins }, folder), { database: undefined, roles: [], ...asked });
}

/** The lines of pg_hba.conf in it. */
const accessIn = (text: string): string[] =>
  [...text.matchAll(/^-- {3}((?:local|host|hostssl) .*)$/gm)].map(([, line = '']) => line);

describe('what is printed', () => {
  const db = { host: 'db.example', login: password('reader', 'writer') };

  test('holds no password', async () => {
    expect(await printed({ orders: db })).not.toContain('canary');
  });

  test('asks for TLS and an address as the entry does, and keeps everybody else out', async () => {
    expect(accessIn(await printed({ orders: db }))).toEqual([
      'hostssl "orders" "reader","writer" 192.0.2.1/32 scram-sha-256',
      'local all "reader","writer" reject',
      'host all "reader","writer" all reject',
    ]);
  });

  test.each([
    [{ host: '/run/postgresql' }, 'local "orders" "reader","writer" scram-sha-256'],
    [{ host: '127.0.0.1' }, 'host "orders" "reader","writer" 127.0.0.1/32 scram-sha-256'],
    [{ host: '127.0.0.1', tls: {} }, 'hostssl "orders" "reader","writer" 127.0.0.1/32 scram-sha-256'],
    [{ host: '::1' }, 'host "orders" "reader","writer" ::1/128 scram-sha-256'],
    [{ database: 'Shop' }, 'hostssl "Shop" "reader","writer" 192.0.2.1/32 scram-sha-256'],
    [{ replication: true }, 'hostssl "orders",replication "reader","writer" 192.0.2.1/32 scram-sha-256'],
    [{ login: { kind: 'trust' } as const }, 'hostssl "orders" "reader","writer" 192.0.2.1/32 trust'],
  ])('%j begins with %s', async (more, line) => {
    expect(accessIn(await printed({ orders: { ...db, ...more } }))[0]).toBe(line);
  });

  test('a role for which the entry has no password is left out there', async () => {
    const text = await printed({ orders: { ...db, login: password('reader') } });
    expect(text).toContain('"reader"');
    expect(text).not.toContain('"writer"');
    const some = { orders: { ...db, login: { kind: 'password' as const, passwords: () => 'x' } } };
    expect(await printed(some)).toContain('"writer"');
  });

  test('roles given by --role are printed instead, each once', async () => {
    const text = await printed({ orders: db }, [maps('reader')], { roles: ['auditor', 'auditor'] });
    expect(text).not.toContain('"reader"');
    expect(accessIn(text)[0]).toBe('hostssl "orders" "auditor" 192.0.2.1/32 scram-sha-256');
  });

  test('a plugin that is only for some databases maps no role elsewhere', async () => {
    const plugins = [
      ...only({ databases: ['hr'] }, maps('clerk')),
      ...only({ databases: ['shop'] }, maps('seller')),
    ];
    const login = { kind: 'trust' } as const;
    const text = await printed({ hr: { host: 'a', login }, shop: { host: 'b', login } }, plugins);
    expect(accessIn(text).filter((line) => line.includes('trust'))).toEqual([
      'hostssl "hr" "clerk" 192.0.2.1/32 trust',
      'hostssl "shop" "seller" 192.0.2.1/32 trust',
    ]);
  });

  test('a role that roles() gives at some databases only is let into no other', async () => {
    const login = { kind: 'trust' } as const;
    const byDatabase = roles([
      { claim: 'role', allow: ['clerk'], databases: ['hr'] },
      { claim: 'role', allow: ['seller'], databases: ['shop'] },
    ]);
    const databases = { hr: { host: 'a', login }, shop: { host: 'b', login }, '*': { host: 'c', login } };
    const text = await printed(databases, [jwt({ issuers: [keys.options] }), byDatabase]);
    expect(accessIn(text).filter((line) => line.includes('trust'))).toEqual([
      'hostssl "hr" "clerk" 192.0.2.1/32 trust',
      'hostssl "shop" "seller" 192.0.2.1/32 trust',
      'hostssl all "clerk","seller" 192.0.2.1/32 trust',
    ]);
  });

  test('entries on one server make one section, with what serves the rest behind the others', async () => {
    const text = await printed({ '*': db, orders: db, far: { ...db, host: 'far.example' } });
    expect(text.match(/^-- Server .*? port \d+/gm)).toEqual([
      '-- Server db.example port 5432',
      '-- Server far.example port 5432',
    ]);
    expect(accessIn(text).slice(0, 4)).toEqual([
      'hostssl "orders" "reader","writer" 192.0.2.1/32 scram-sha-256',
      'hostssl all "reader","writer" 192.0.2.1/32 scram-sha-256',
      'local all "reader","writer" reject',
      'host all "reader","writer" all reject',
    ]);
    expect(text).toContain("-- '*' serves every other database: --database NAME");
  });

  test('--database prints one, and leaves the others on that server alone', async () => {
    const text = await printed({ '*': db, orders: db }, undefined, { database: 'sales' });
    expect(text).toContain('grant connect on database "sales" to "reader";');
    expect(text).not.toContain('orders');
    expect(accessIn(text)).toEqual([
      'hostssl "sales" "reader","writer" 192.0.2.1/32 scram-sha-256',
      'local "sales" "reader","writer" reject',
      'host "sales" "reader","writer" all reject',
    ]);
    expect(await printed(() => db, undefined, { database: 'sales' })).toBe(text);
  });

  test.each<[string, Parameters<typeof printed>, string]>([
    ['no role is known', [{ orders: db }, []], 'no plugin of this config says which roles it maps'],
    [
      'the database is none',
      [{ orders: db }, [], { database: 'x' }],
      '--database x: the config serves no database',
    ],
    ['its name is none', [{ '*': db }, [], { database: 'x\n' }], '--database x\n: not a valid database name'],
    ['a function serves', [() => db, []], 'databases is a function: name one'],
    ['a role is none', [{ orders: db }, [], { roles: ['a"b'] }], '--role a"b: not a valid role name'],
    [
      'a role is reserved',
      [{ orders: db }, [], { roles: ['pg_monitor'] }],
      'role name "pg_monitor" is reserved',
    ],
  ])('where %s, a sentence says so', async (_why, given, sentence) => {
    await expect(printed(...given)).rejects.toThrow(sentence);
  });
});

/** Roles whose names need quotes, or would end one. */
const ODD = ['reader', 'Writer', 'select', 'all', 'a-b', 'n$do$n', '_$do1$', 'replication'];

describeWith('psql', (psql) => {
  const secret = randomBytes(9).toString('hex');
  let pems: Certificates;
  let authority: MadeAuthority;
  let postgres: OwnPostgres;
  let gateway: RunningGateway;
  let databases: Record<string, DatabaseOptions>;

  const run = (text: string): string => {
    const args = ['-XqAt', '-v', 'ON_ERROR_STOP=1', postgres.url()];
    const { status, stdout, stderr } = spawnSync(psql, args, { input: text, encoding: 'utf8' });
    expect({ status, stderr: stderr.replace(/^(psql:.*)?NOTICE: .*\n/gm, '') }).toEqual({
      status: 0,
      stderr: '',
    });
    return stdout;
  };

  const plugins = [
    jwt({ issuers: [keys.options] }),
    roles({ claim: 'role', allow: ODD.filter((name) => name !== 'reader'), default: 'reader' }),
  ];

  beforeAll(async () => {
    pems = await certificates();
    authority = await makeAuthority(folder, 'gateway');
    const ca = `${authority.cert}${pems.ca.cert}`;
    postgres = await startPostgres({ ssl: { cert: pems.server.cert, key: pems.server.key, ca } });
    run('create database "Shop"; create database third; drop role reader, writer;');
    run('revoke connect on database "Shop", postgres, third from public');
    const at = { host: '127.0.0.1', port: postgres.port };
    const tls = { ca: pems.ca.certFile };
    databases = {
      certified: { ...at, tls, database: 'Shop', login: { kind: 'certificate', ...authority.files } },
      plain: {
        ...at,
        database: 'postgres',
        login: { kind: 'password', passwords: Object.fromEntries(ODD.map((role) => [role, secret])) },
      },
      trusting: {
        ...at,
        database: 'third',
        login: { kind: 'set-role', user: 'the-gate', password: secret, trustedSql: true },
      },
    };
  });
  afterAll(async () => {
    await gateway?.gateway.stop();
    await postgres?.stop();
    pems.remove();
  });

  /** Does what the printed text says a DBA should do. */
  async function follow(text: string): Promise<void> {
    run(text);
    for (const role of [...ODD, 'the-gate']) run(`alter role "${role}" password '${secret}'`);
    const [file] = await postgres.sql('show hba_file');
    const path = String(file?.['hba_file']);
    const before = readFileSync(path, 'utf8');
    writeFileSync(path, [...accessIn(text), before].join('\n'));
    expect(await postgres.sql('select error from pg_hba_file_rules where error is not null')).toEqual([]);
    await postgres.sql('select pg_reload_conf()');
    await expect.poll(() => postgres.log()).toContain('reloading configuration files');
  }

  const identity = async (database: string, role: string): Promise<unknown> => {
    const token = keys.sign({ role: role === 'reader' ? undefined : role });
    const client = new Client({
      host: '127.0.0.1',
      port: gateway.port,
      user: '_',
      database,
      password: token,
    });
    await client.connect();
    const { rows } = await client.query('select session_user, current_user, current_database() as database');
    await client.end();
    return rows[0];
  };

  test('run on a server, it lets the gateway log in as every role in every way, and nobody else', async () => {
    const config = checkConfig({ databases, plugins }, folder);
    const text = await rolesSql(config, { database: undefined, roles: [] });
    await follow(text);
    expect(run(text)).toBe('');
    gateway = await startGateway({ databases, plugins });
    for (const role of ODD) {
      const itself = { session_user: role, current_user: role };
      expect(await identity('certified', role)).toEqual({ ...itself, database: 'Shop' });
      expect(await identity('plain', role)).toEqual({ ...itself, database: 'postgres' });
      expect(await identity('trusting', role)).toEqual({
        ...itself,
        session_user: 'the-gate',
        database: 'third',
      });
    }
    // With the right password, from the gateway's address: but not in the way that the entry has.
    const past = new Client(postgres.url('Shop', 'reader', secret));
    await expect(past.connect()).rejects.toMatchObject({ code: '28000' });
  });

  test('the login role of set-role has none of the rights of those it may become, until it becomes one', async () => {
    const usage =
      "select pg_has_role('the-gate', 'reader', 'usage') as usage, pg_has_role('the-gate', 'reader', 'member') as member";
    expect(await postgres.sql(usage)).toEqual([{ usage: false, member: true }]);
  });
});
