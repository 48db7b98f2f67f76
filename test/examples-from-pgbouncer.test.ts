/**
 * The example `from-pgbouncer`: an application that writes all the time moves from PgBouncer's passwords to tokens. No login of it is refused, and each
 * row that it was told of is there.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certificates } from './support/certificates.ts';
import type { Certificates } from './support/certificates.ts';
import { copyExamples, root, start } from './support/example.ts';
import type { RunningExample } from './support/example.ts';
import { freePort } from './support/free-port.ts';
import { prepareCheckout } from './support/gateway-process.ts';
import { startPostgres } from './support/postgres.ts';
import type { OwnPostgres } from './support/postgres.ts';
import { describeWith } from './support/programs.ts';
import { issuer } from './support/token.ts';

const PASSWORD = 'sh0p';
/** PgBouncer refuses to run as root. */
const NOBODY = 65_534;
const good = issuer({ algorithms: ['ES256'] });

/** An instance of the application. */
interface Instance {
  /** Resolves when it has written so many more rows. */
  writes(more: number): Promise<void>;
  /** SIGTERM. Resolves with its counts. */
  stop(): Promise<{
    readonly written: number;
    readonly failed: number;
    readonly complaints: readonly string[];
  }>;
}

describeWith('pgbouncer', (pgbouncer) => {
  const examples = copyExamples();
  const folder = join(examples.folder, 'from-pgbouncer');
  const bouncerFolder = mkdtempSync(join(tmpdir(), 'postern-from-pgbouncer-'));
  let files: Certificates;
  let postgres: OwnPostgres;
  let bouncerPort: number;
  let stopBouncer: () => Promise<void>;
  let gateway: RunningExample | undefined;

  beforeAll(async () => {
    prepareCheckout();
    files = await certificates();
    postgres = await startPostgres();
    await postgres.sql('create database orders');
    const [sql = ''] = blocks('sql');
    for (const [database, text] of [
      ['postgres', (sql.split('\\connect orders')[0] ?? '').replace('create database orders;', '')],
      ['orders', sql.split('\\connect orders')[1] ?? ''],
    ] as const)
      await postgres.sql(text, database);
    const [verifier] = await postgres.sql("select rolpassword from pg_authid where rolname = 'shop'");
    furnish(`"shop" "${String(verifier?.['rolpassword'])}"\n`);
    stopBouncer = await startBouncer();
  }, 120_000);
  afterAll(async () => {
    await gateway?.stop();
    await stopBouncer();
    await postgres.stop();
    files.remove();
    examples.remove();
    rmSync(bouncerFolder, { recursive: true });
  });

  function blocks(language: string): string[] {
    const readme = readFileSync(join(folder, 'README.md'), 'utf8');
    const all = readme.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, 'gms'));
    return [...all].map(([, block = '']) => block);
  }

  /** What the README has its reader make; the list of passwords for both programs. */
  function furnish(userlist: string): void {
    mkdirSync(join(folder, 'tls'));
    copyFileSync(files.server.certFile, join(folder, 'tls/server.crt'));
    copyFileSync(files.server.keyFile, join(folder, 'tls/server.key'));
    writeFileSync(join(folder, 'jwks.json'), JSON.stringify(good.jwks));
    writeFileSync(join(folder, 'token'), good.sign({ sub: 'shop-service', role: 'shop' }));
    writeFileSync(join(folder, 'userlist.txt'), userlist, { mode: 0o640 });
    writeFileSync(join(bouncerFolder, 'userlist.txt'), userlist);
    symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  }

  async function startBouncer(): Promise<() => Promise<void>> {
    bouncerPort = await freePort();
    const ini = readFileSync(join(folder, 'pgbouncer.ini'), 'utf8')
      .replace('host=localhost port=5432', `host=127.0.0.1 port=${postgres.port}`)
      .replace('6432', String(bouncerPort))
      .replace('userlist.txt', join(bouncerFolder, 'userlist.txt'));
    writeFileSync(join(bouncerFolder, 'pgbouncer.ini'), ini);
    for (const name of ['userlist.txt', 'pgbouncer.ini']) chmodSync(join(bouncerFolder, name), 0o644);
    chmodSync(bouncerFolder, 0o755);
    const as = process.getuid?.() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
    const child = spawn(pgbouncer, ['-q', join(bouncerFolder, 'pgbouncer.ini')], { ...as, stdio: 'ignore' });
    for (let tries = 0; (await come(bouncerPort, 'shop', PASSWORD, false)) !== 'shop'; tries += 1) {
      if (tries > 200) throw new Error('PgBouncer does not answer');
      await sleep(50);
    }
    return async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'close');
    };
  }

  /** As which role somebody is let in, or what is said instead. */
  async function come(port: number, user: string, password: string, secure = true): Promise<string> {
    const ssl = secure && { ca: files.ca.cert, servername: 'localhost' };
    const client = new Client({ host: '127.0.0.1', port, user, password, database: 'orders', ssl });
    client.on('error', () => {});
    try {
      await client.connect();
      const { rows } = await client.query<{ role: string }>('select session_user::text as role');
      return rows[0]?.role ?? '';
    } catch (error) {
      return (error as Error).message;
    } finally {
      await client.end().catch(() => {});
    }
  }

  async function application(more: Record<string, string | number>): Promise<Instance> {
    const env = { ...process.env, DB_HOST: 'localhost', ...more } as unknown as NodeJS.ProcessEnv;
    const child = spawn(process.execPath, ['app.js'], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const complaints: string[] = [];
    createInterface(child.stderr).on('line', (line) => complaints.push(line));
    const lines = createInterface(child.stdout);
    const printed: string[] = [];
    lines.on('line', (line) => printed.push(line));
    const writer = String(more['DB_USER'] ?? 'shop');
    const writes = async (count: number): Promise<void> => {
      const before = await rowsOf(writer);
      await expect.poll(() => rowsOf(writer)).toBeGreaterThanOrEqual(before + count);
    };
    await once(lines, 'line');
    return {
      writes,
      async stop() {
        const closed = once(child, 'close');
        child.kill('SIGTERM');
        await closed;
        return { ...(JSON.parse(printed.at(-1) ?? '{}') as { written: number; failed: number }), complaints };
      },
    };
  }

  async function rowsOf(writer: string): Promise<number> {
    const [row] = await postgres.sql(
      `select count(*)::int as n from ledger where writer = '${writer}'`,
      'orders',
    );
    return Number(row?.['n']);
  }

  const lines = (msg: string): readonly Record<string, unknown>[] =>
    (gateway?.output() ?? '')
      .split('\n')
      .flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Record<string, unknown>] : []))
      .filter((line) => line['msg'] === msg);

  /** Puts a config in force as the README does it. */
  async function replaceConfig(text: string): Promise<void> {
    const reloads = lines('reloaded').length;
    writeFileSync(join(folder, 'gateway.config.ts'), text);
    const done = (): unknown => [lines('reload failed').at(-1)?.['reason'], lines('reloaded').length];
    await expect.poll(done).toEqual([undefined, reloads + 1]);
  }

  const step = (name: string): string => readFileSync(join(folder, name), 'utf8');

  test('the application is never refused and loses no row', { timeout: 120_000 }, async () => {
    const ended: Awaited<ReturnType<Instance['stop']>>[] = [];
    const first = await application({ DB_PORT: bouncerPort, DB_PASSWORD: PASSWORD });
    await first.writes(100);

    // Step 1: beside PgBouncer, the same passwords; the port moves.
    gateway = await start('npx postern start', folder, {
      ORDERS_HOST: '127.0.0.1',
      ORDERS_PORT: postgres.port,
      SHOP_PASSWORD: PASSWORD,
      PORT: 0,
    });
    const port = gateway.ports['default'] ?? 0;
    const there = { DB_PORT: port, CA: files.ca.certFile };
    const second = await application({ ...there, DB_PASSWORD: PASSWORD });
    await second.writes(100);
    ended.push(await first.stop());
    await stopBouncer();
    expect(await come(port, 'shop', 'wrong')).toBe('password authentication failed for user "shop"');

    // Step 2: tokens as well; the credential moves.
    await replaceConfig(step('step-2.config.ts'));
    await second.writes(100);
    const third = await application({ ...there, DB_USER: '_', TOKEN_FILE: 'token' });
    await Promise.all([second.writes(100), third.writes(100)]);
    expect(await come(port, 'shop', PASSWORD)).toBe('shop');
    expect(await come(port, 'shop', good.sign({ role: 'shop' }))).toContain('password authentication failed');
    ended.push(await second.stop());
    const credentials = new Set(lines('login').map(({ credential }) => credential));
    expect(credentials).toEqual(new Set(['password', 'scram']));

    // The day comes: who has a password still is told so.
    const over = new Date(Date.now() - 1_000).toISOString().replace(/\.\d+/, '');
    await replaceConfig(step('step-2.config.ts').replace('2027-06-30', over));
    expect(await come(port, 'shop', PASSWORD)).toContain('the password of user "shop" is not good any more');
    expect(await come(port, 'shop', 'wrong')).toContain('password authentication failed');
    await third.writes(100);

    // Step 3: tokens alone.
    await replaceConfig(step('step-3.config.ts'));
    rmSync(join(folder, 'userlist.txt'));
    await third.writes(100);
    expect(await come(port, 'shop', PASSWORD)).toContain('password authentication failed');
    ended.push(await third.stop());

    expect(ended).toMatchObject([{ failed: 0 }, { failed: 0 }, { failed: 0 }]);
    expect(ended.flatMap(({ complaints }) => complaints)).toEqual([]);
    expect((await rowsOf('shop')) + (await rowsOf('_'))).toBe(
      ended.reduce((sum, { written }) => sum + written, 0),
    );
    for (const secret of [PASSWORD, step('token')]) expect(gateway.output()).not.toContain(secret);
  });
});
