/** The guide `rotate-and-revoke`: its commands as they stand but for ports and the first password. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandsIn, copyExamples, start } from './support/example.ts';
import type { RunningExample } from './support/example.ts';
import { freePort } from './support/free-port.ts';
import { prepareCheckout } from './support/gateway-process.ts';
import { startPostgres } from './support/postgres.ts';
import type { OwnPostgres } from './support/postgres.ts';
import { describeWith } from './support/programs.ts';

describeWith('psql', () => {
  const examples = copyExamples();
  const folder = join(examples.folder, 'rotate-and-revoke');
  const commands = commandsIn(join(folder, 'README.md'));
  const [make = '', run = '', words = '', newKey = '', withdraw = '', loginOfAda = ''] = commands;
  const [
    revokeToken = '',
    revokeSubject = '',
    takeBack = '',
    purge = '',
    newTokens = '',
    password = '',
    reconnect = '',
  ] = commands.slice(6);
  /** Of its own: a password of a role is changed. */
  let postgres: OwnPostgres;
  let gateway: RunningExample;
  let admin: number;

  beforeAll(async () => {
    prepareCheckout();
    postgres = await startPostgres();
    await postgres.sql('create database orders');
    await shell(make.replace('r3ader', postgres.passwords.reader), '');
    admin = await freePort();
    gateway = await start(run, folder, { ORDERS_PORT: postgres.port, PORT: 0, ADMIN_PORT: admin });
  }, 120_000);
  afterAll(async () => {
    await gateway.stop();
    await postgres.stop();
    examples.remove();
  });

  /** Runs a block behind the definitions of `login` and `operator`; gives all that it writes, and goes on after a refused login as a person would. */
  async function shell(
    script: string,
    definitions = words.split('\n').slice(0, 2).join('\n'),
  ): Promise<string> {
    const here = `${definitions}\n${script}`
      .replaceAll('6432', String(gateway?.ports['default']))
      .replaceAll('9432', String(admin));
    const { host, port, superuser, password: secret } = postgres;
    const superusers = { PGHOST: host, PGPORT: String(port), PGUSER: superuser, PGPASSWORD: secret };
    const options = { cwd: folder, env: { ...process.env, ...superusers } };
    return (await promisify(execFile)('sh', ['-c', `exec 2>&1\n${here}\ntrue`], options)).stdout;
  }

  const REFUSED = 'FATAL:  password authentication failed for user "_"';

  test('a client logs in, and an operator sees that nothing is revoked', async () => {
    expect(await shell(words, '')).toMatch(/^reader\n.*\[\]/);
  });

  test('a new key of the issuer counts at once, and a withdrawn one soon opens nothing', async () => {
    expect(await shell(newKey)).toBe('reader\nreader\n');
    expect(await shell(withdraw)).toBe('reader\n');
    await expect.poll(() => shell(loginOfAda)).toContain(REFUSED);
  });

  test('a revoked token opens nothing, nor does any token of a revoked subject, until that is taken back', async () => {
    expect(await shell(revokeToken)).toMatch(new RegExp(`^reader\n.*ada-2.*${REFUSED}`, 's'));
    expect(await shell(revokeSubject)).toContain(REFUSED);
    expect(await shell(takeBack)).toMatch(/reader\n$/);
  });

  test('after a theft everything that was issued before is revoked, the operator included', async () => {
    await shell(purge);
    expect(await shell('login bob\noperator revocations')).toMatch(new RegExp(`${REFUSED}.*token`, 's'));
    expect(await shell(newTokens)).toBe('reader\n');
  });

  test('a changed password of a role counts for the next server connection', async () => {
    await shell(password);
    expect(await shell(reconnect)).toMatch(/reader\n$/);
    expect(commands.length).toBe(13);
  });
});
