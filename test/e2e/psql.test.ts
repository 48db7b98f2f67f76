/** psql as a person uses it, through a gateway process. */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { executable } from '../support/executable.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

let postgres: OwnPostgres;
let files: Certificates;
let front: TokenGateway;

beforeAll(async () => {
  prepareCheckout();
  files = await certificates();
  postgres = await startPostgres();
  await postgres.sql('create database orders owner writer');
  front = await startTokenGateway(postgres, {
    database: "database: 'orders'",
    listen: "tls: { cert: 'server.crt', key: 'server.key' }",
    files: { 'server.crt': files.server.cert, 'server.key': files.server.key },
  });
}, 120_000);
afterAll(async () => {
  await front.gateway.remove();
  await postgres.stop();
  files.remove();
});

interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function running(mark: string): Promise<unknown> {
  const rows = await postgres.sql(
    `select from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() and query like '%/* ${mark} */%'`,
  );
  return rows.length;
}

describeWith('psql', (psql) => {
  /** Runs a script as writer; `env` adds libpq's variables. */
  function script(text: string, env: NodeJS.ProcessEnv = {}, ...args: readonly string[]): Promise<Outcome> {
    return new Promise((resolve) => {
      const options = { env: { ...front.environment('writer'), ...env }, maxBuffer: 2 ** 28 };
      const child = execFile(psql, ['-XAtq', ...args], options, (error, stdout, stderr) => {
        resolve({ status: Number(error?.code ?? 0), stdout, stderr });
      });
      child.stdin?.end(text);
    });
  }

  const version = (): Promise<Outcome> => script('\\echo :VERSION_NUM');

  describe('copies', () => {
    test('a file in and out again without a difference', async () => {
      const { folder } = front.gateway;
      const lines = Array.from({ length: 50_000 }, (_, i) => `${i}\tπ ${i} \\\\ ${'x'.repeat(i % 300)}\n`);
      writeFileSync(join(folder, 'in.txt'), lines.join(''));
      const { status, stdout, stderr } = await script(
        `create table copied (i int, t text);
         \\copy copied from '${folder}/in.txt'
         \\copy (select * from copied order by i) to '${folder}/out.txt'
         \\copy (select count(*) from copied) to stdout
         copy copied from stdin;
-1\tinline
\\.
         select t from copied where i = -1;`,
      );
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '50000\ninline\n', stderr: '' });
      expect(readFileSync(join(folder, 'out.txt'), 'utf8')).toBe(lines.join(''));
    });

    test('a bad file not at all, and goes on', async () => {
      const { stdout, stderr } = await script(
        `create table half (i int);\ncopy half from stdin;\n1\nnot a number\n2\n\\.\nselect count(*) from half;`,
      );
      expect(stderr).toContain('invalid input syntax for type integer: "not a number"');
      expect(stdout).toBe('0\n');
    });
  });

  test('describes what there is', async () => {
    const { stdout, stderr } = await script(
      'create table described (id int primary key, note text); \\d described\n\\dt\n\\du\n\\dn+\n\\df',
    );
    expect(stderr).toBe('');
    expect(stdout).toContain('id|integer||not null|');
    expect(stdout).toContain('public|described|table|writer');
  });

  test('connects again by \\c', async () => {
    const { stdout } = await script('select 1; \\c\nselect current_user; \\c - reader\nselect current_user;');
    expect(stdout.split('\n').slice(0, 2)).toEqual(['1', 'writer']);
    expect(stdout).not.toContain('reader');
  });

  test('hears what another session notifies', async () => {
    const sender = await front.login('reader');
    const listener = spawn(psql, ['-XAtq'], {
      env: front.environment('writer'),
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let heard = '';
    listener.stdout.on('data', (chunk: Buffer) => (heard += String(chunk)));
    listener.stdin.write("listen news; select 'ready';\n");
    await expect.poll(() => heard).toBe('ready\n');
    await sender.query("notify news, 'from the other'");
    listener.stdin.end('select 1;\n');
    await expect.poll(() => heard).toMatch(/notification "news" with payload "from the other" received/);
    await sender.end();
  });

  test('shows a large result as PostgreSQL gave it', async () => {
    const sql = "select i, md5(i::text), repeat('y', i % 500) from generate_series(1, 100000) i";
    const direct = { PGPORT: String(postgres.port), PGUSER: 'writer', PGPASSWORD: postgres.passwords.writer };
    const sums = [];
    for (const env of [direct, {}, { PGSSLMODE: 'require' }]) {
      const { stdout } = await script(sql, env);
      expect(stdout.length).toBeGreaterThan(25_000_000);
      sums.push(createHash('sha256').update(stdout).digest('hex'));
    }
    expect(new Set(sums).size).toBe(1);
    const fetched = await script(`\\set FETCH_COUNT 1000\n${sql};`);
    expect(createHash('sha256').update(fetched.stdout).digest('hex')).toBe(sums[0]);
  });

  test('stops at an error with ON_ERROR_STOP, and goes on without', async () => {
    const text = 'select 1; select 1/0; select 2;';
    expect(await script(text)).toMatchObject({ status: 0, stdout: '1\n2\n' });
    expect(await script(text, {}, '-v', 'ON_ERROR_STOP=1')).toMatchObject({ status: 3, stdout: '1\n' });
    const one = await script('', {}, '-1', '-c', 'create table gone ()', '-c', 'select 1/0');
    expect(one.status).toBe(1);
    expect((await script("select to_regclass('gone') is null;")).stdout).toBe('t\n');
  });

  test('passes on the settings that a client may choose at its start', async () => {
    const env = {
      PGOPTIONS: '-c DateStyle=German -c IntervalStyle=iso_8601 --extra-float-digits=0',
      PGTZ: 'Asia/Tokyo',
      PGCLIENTENCODING: 'LATIN1',
    };
    const { stdout, stderr } = await script(
      `select date '2026-02-01', interval '1 day', current_setting('TimeZone'), current_setting('client_encoding'),
        current_setting('extra_float_digits'), current_setting('application_name');`,
      env,
    );
    expect([stdout, stderr]).toEqual(['01.02.2026|P1D|Asia/Tokyo|LATIN1|0|psql\n', '']);
  });

  test.each(['-c role=reader', '--session-authorization=reader', '-d5'])(
    'is told that PGOPTIONS may not hold %s',
    async (PGOPTIONS) => {
      const { status, stderr } = await script('select 1', { PGOPTIONS });
      expect(status).toBe(2);
      expect(stderr).toMatch(/unsupported (startup parameter in options|switch "-d")/);
    },
  );

  describe('with TLS', () => {
    const secure = (env: NodeJS.ProcessEnv): Promise<Outcome> =>
      script('\\conninfo\nselect current_user;', {
        PGHOST: 'localhost',
        PGHOSTADDR: '127.0.0.1',
        PGSSLROOTCERT: files.ca.certFile,
        ...env,
      });

    test.each(['require', 'verify-ca', 'verify-full'])('is encrypted by sslmode=%s', async (PGSSLMODE) => {
      const { stdout } = await secure({ PGSSLMODE });
      expect(stdout).toContain('TLSv1.3');
      expect(stdout).toMatch(/^writer$/m);
    });

    test('does not talk to a gateway it cannot verify', async () => {
      const stranger = await secure({ PGSSLMODE: 'verify-ca', PGSSLROOTCERT: files.wrongCa.certFile });
      expect(stranger.stderr).toContain('certificate verify failed');
      const wrongName = await secure({ PGSSLMODE: 'verify-full', PGHOST: 'postgres.example' });
      expect(wrongName.stderr).toContain('does not match host name "postgres.example"');
    });

    test('starts with TLS at once where its libpq can', async ({ skip }) => {
      skip(Number((await version()).stdout) < 170_000, 'this psql is older than 17');
      const { stdout } = await secure({ PGSSLMODE: 'verify-full', PGSSLNEGOTIATION: 'direct' });
      expect(stdout).toMatch(/^writer$/m);
    });
  });

  describe.skipIf(executable('script') === undefined)('at a terminal', () => {
    test('cancels its running statement by Ctrl-C, and only that, and goes on', async () => {
      const other = await front.login('writer');
      const bystander = other
        .query('select 1 from pg_sleep(600) /* bystander */')
        .catch((error: unknown) => error);
      // A terminal of its own, so that what is typed becomes the signal.
      const terminal = spawn('script', ['-qec', `${psql} -Xnq`, '/dev/null'], {
        env: { ...front.environment('writer'), TERM: 'dumb', PAGER: '' },
        stdio: ['pipe', 'pipe', 'inherit'],
      });
      let screen = '';
      terminal.stdout.on('data', (chunk: Buffer) => (screen += String(chunk)));
      terminal.stdin.write('select 1 from pg_sleep(600) /* mine */;\n');
      await expect.poll(() => running('mine')).toBe(1);
      await expect.poll(() => running('bystander')).toBe(1);
      terminal.stdin.write('\x03');
      await expect.poll(() => screen).toContain('ERROR:  canceling statement due to user request');
      terminal.stdin.write("select 'goes' || ' on';\n");
      await expect.poll(() => screen).toContain('goes on');
      terminal.stdin.write('begin; select 1/0;\nselect 1;\n');
      await expect.poll(() => screen).toContain('current transaction is aborted');
      expect(await running('mine')).toBe(0);
      expect(await running('bystander')).toBe(1);
      terminal.stdin.write('\\q\n');
      await postgres.sql(`select pg_cancel_backend(pid) from pg_stat_activity
        where query like '%/* bystander */%' and pid <> pg_backend_pid()`);
      expect(await bystander).toMatchObject({ code: '57014' });
      await other.end();
    });
  });
});
