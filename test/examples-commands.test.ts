/** The commands in the READMEs of the examples, run as they stand but for ports and passwords. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commandsIn, copyExamples, root, start } from './support/example.ts';
import type { RunningExample } from './support/example.ts';
import { freePort } from './support/free-port.ts';
import { prepareCheckout } from './support/gateway-process.ts';
import { startPostgres } from './support/postgres.ts';
import type { OwnPostgres } from './support/postgres.ts';
import { describeWith, program } from './support/programs.ts';

/** Of its own: the READMEs name its databases. */
let postgres: OwnPostgres;

beforeAll(async () => {
  prepareCheckout();
  postgres = await startPostgres();
  for (const name of ['orders', 'warehouse']) await postgres.sql(`create database ${name}`);
}, 120_000);
afterAll(() => postgres.stop());

const POSTERN = `'${process.execPath}' '${join(root, 'core/cli/postern.js')}'`;
const hasOpenssl = program('openssl') !== undefined;

describeWith('psql', () => {
  describe.runIf(hasOpenssl)('the commands of the READMEs work as they stand', () => {
    const fresh = copyExamples();
    const readme = (name: string): readonly string[] =>
      commandsIn(join(root, 'examples', name, 'README.md')).map((block) =>
        block.replaceAll('r3ader', postgres.passwords.reader).replaceAll('wr1ter', postgres.passwords.writer),
      );
    const shell = (script: string, name: string): Promise<{ stdout: string; stderr: string }> =>
      promisify(execFile)('sh', ['-ec', script], { cwd: join(fresh.folder, name) });
    const onPort = (text: string, port: number | undefined): string => text.replace(/-p \d+/g, `-p ${port}`);
    let gateway: RunningExample | undefined;
    afterAll(() => fresh.remove());

    test('access-on-demand', async () => {
      const [make = '', run = '', log = '', connect = '', revoke = ''] = readme('access-on-demand');
      const [port, admin] = [await freePort(), await freePort()];
      const here = (text: string): string =>
        onPort(text, port).replaceAll('9432', `${admin}`).replaceAll('npx postern', POSTERN);
      await shell(make, 'access-on-demand');
      const environment = { ORDERS_PORT: postgres.port, PORT: port, ADMIN_PORT: admin };
      gateway = await start(run, join(fresh.folder, 'access-on-demand'), environment);
      const asked = await shell(here(log), 'access-on-demand');
      expect(asked.stdout).toMatch(
        /^reader\n.*you may not have role \\"writer\\".*you may not have access to/,
      );
      const seen = await shell(here(connect), 'access-on-demand');
      expect(seen.stdout).toMatch(/^42\n/);
      expect(seen.stdout).toMatch(/\d+ lines are as they were written/);
      await expect(shell(here(revoke), 'access-on-demand')).rejects.toThrow('password authentication failed');
      expect(await gateway.stop()).toBe(0);
    });

    test('jwt-roles', async () => {
      const [make = '', run = '', log = '', init = ''] = readme('jwt-roles');
      await shell(make, 'jwt-roles');
      const environment = { ORDERS_PORT: postgres.port, PORT: 0 };
      gateway = await start(run, join(fresh.folder, 'jwt-roles'), environment);
      const [exports = '', first = '', second = ''] = onPort(log, gateway.ports['default']).split('\n');
      expect((await shell(`${exports}\n${first}`, 'jwt-roles')).stdout).toContain(' reader\n');
      await expect(shell(`${exports}\n${second}`, 'jwt-roles')).rejects.toThrow(
        /FATAL: {2}the token maps to no role/,
      );
      expect(await gateway.stop()).toBe(0);
      await shell(init.replace('npx postern', POSTERN), 'jwt-roles');
      const made = (name: string): string => readFileSync(join(fresh.folder, 'jwt-roles', name), 'utf8');
      expect(made('own.config.ts')).toContain('https://id.example');
      expect(made('roles.sql')).toMatch(/create role "?reader"?/i);
    });

    test('many-databases', async () => {
      const [make = '', run = '', log = ''] = readme('many-databases');
      await shell(make, 'many-databases');
      const admin = await freePort();
      const servers = { MAIN_PORT: postgres.port, ARCHIVE_PORT: postgres.port };
      const ports = { PEOPLE_PORT: 0, JOBS_PORT: 0, ADMIN_PORT: admin };
      gateway = await start(run, join(fresh.folder, 'many-databases'), { ...servers, ...ports }, 2);
      const here = onPort(log, gateway.ports['jobs']).replace('9432', String(admin));
      expect((await shell(here, 'many-databases')).stdout).toMatch(/ writer +\| warehouse\n/);
      expect(await gateway.stop()).toBe(0);
    });

    test('many-tenants', async () => {
      const [make = '', run = '', log = ''] = readme('many-tenants');
      const { host, port: PGPORT, superuser, password } = postgres;
      const superusers = `export PGHOST=${host} PGPORT=${PGPORT} PGUSER=${superuser} PGPASSWORD=${password}\n`;
      await shell(superusers + make.replace('npx postern', POSTERN), 'many-tenants');
      const folder = join(fresh.folder, 'many-tenants');
      gateway = await start(run, folder, { ORDERS_PORT: postgres.port, PORT: 0 });
      const { stdout } = await shell(onPort(log, gateway.ports['default']), 'many-tenants');
      expect(stdout).toMatch(/ acme +\| ada\n/);
      expect(stdout).toMatch(/\n0\n\{"tenant":"acme"\}\n0\n$/);
      expect(await gateway.stop()).toBe(0);
    });

    test('monitoring', async () => {
      const [run = '', log = ''] = readme('monitoring');
      const admin = await freePort();
      const ports = {
        ORDERS_PORT: postgres.port,
        PORT: 0,
        ADMIN_PORT: admin,
        OTLP_ENDPOINT: 'http://127.0.0.1:9',
      };
      gateway = await start(run, join(fresh.folder, 'monitoring'), ports);
      const here = onPort(log, gateway.ports['default']).replaceAll('9432', `${admin}`);
      const { stdout } = await shell(here, 'monitoring');
      expect(stdout).toMatch(/postern_queries_total\{.*\} 1\n/);
      expect(stdout).toContain('"subject":"ada"');
      expect(await gateway.stop()).toBe(0);
    });

    test('your-own-plugin', async () => {
      const [run = '', log = ''] = readme('your-own-plugin');
      const environment = { DATABASE_PORT: postgres.port, PORT: 0 };
      gateway = await start(run, join(fresh.folder, 'your-own-plugin'), environment);
      const answer = shell(onPort(log, gateway.ports['default']), 'your-own-plugin');
      await expect(answer).rejects.toThrow(/ERROR: {2}schema changes go through migrations\nHINT: {2}Put it/);
      expect(await gateway.stop()).toBe(0);
    });
  });
});
