/** A gateway that logs in by certificates it makes: who its clients are, what they cannot become, and what it leaves behind. */
import { readFileSync, readdirSync, rmSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeAuthority } from '../support/authorities.ts';
import type { MadeAuthority } from '../support/authorities.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { ESCAPES } from '../support/escapes.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { CANARIES, OF_READER, attempt, outlook } from '../support/outlook.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-authority-'));
let pems: Certificates;
let authority: MadeAuthority;
let stranger: MadeAuthority;
let postgres: OwnPostgres;
let front: TokenGateway;

const SET_UP = `
  ${CANARIES}
  create role "Odd.name" login; create role superuser login superuser;
`;

/** No password works on TCP, the superuser's excepted. */
const HBA = [
  'host all postgres 127.0.0.1/32 scram-sha-256',
  'hostssl all all 127.0.0.1/32 cert clientname=CN',
  'host all all all reject',
];

beforeAll(async () => {
  prepareCheckout();
  pems = await certificates();
  authority = await makeAuthority(folder, 'gateway-ca');
  stranger = await makeAuthority(folder, 'stranger-ca');
  const ca = `${authority.cert}${pems.ca.cert}`;
  postgres = await startPostgres({ ssl: { cert: pems.server.cert, key: pems.server.key, ca }, hba: HBA });
  await postgres.sql(SET_UP);
  front = await startTokenGateway(postgres, {
    roles: ['reader', 'writer', 'Odd.name', 'superuser'],
    database: `tls: { ca: 'db-ca.crt' }, login: { kind: 'certificate', ca: 'gateway-ca.crt', key: 'gateway-ca.key' }`,
    databases: `
      by_password: { ...server, tls: { ca: 'db-ca.crt' } },
      by_stranger: {
        ...server,
        tls: { ca: 'db-ca.crt' },
        login: { kind: 'certificate', ca: 'stranger-ca.crt', key: 'stranger-ca.key' },
      }`,
    files: {
      'db-ca.crt': pems.ca.cert,
      'gateway-ca.crt': authority.cert,
      'gateway-ca.key': authority.key,
      'stranger-ca.crt': stranger.cert,
      'stranger-ca.key': stranger.key,
    },
  });
}, 120_000);
afterAll(async () => {
  await front?.gateway.remove();
  await postgres?.stop();
  pems.remove();
  rmSync(folder, { recursive: true });
});

async function row(client: Client, sql: string): Promise<unknown> {
  return (await client.query({ text: sql, rowMode: 'array' })).rows[0];
}

const WHO = `select session_user, current_user,
  (select client_dn from pg_stat_ssl where pid = pg_backend_pid())`;

test.each(['reader', 'writer', 'Odd.name'])('a token for %s opens a session of that role', async (role) => {
  const client = await front.login(role);
  expect(await row(client, WHO)).toEqual([role, role, `/CN=${role}`]);
  await client.end();
});

test('many at once are each who their token says', async () => {
  const wanted = Array.from({ length: 30 }, (_, index) => (index % 2 === 0 ? 'reader' : 'writer'));
  const got = await Promise.all(
    wanted.map(async (role) => {
      const client = await front.login(role);
      const who = await row(client, 'select session_user::text');
      await client.end();
      return who;
    }),
  );
  expect(got).toEqual(wanted.map((role) => [role]));
});

test('PostgreSQL takes nothing but the certificate of its authority', async () => {
  for (const database of ['by_password', 'by_stranger']) {
    await expect(front.login('reader', { database })).rejects.toMatchObject({ code: '08004' });
  }
  const reasons = (): string =>
    front.gateway
      .lines('no server connection')
      .map(({ reason }) => String(reason))
      .join('\n');
  await expect.poll(reasons).toMatch(/does not take the gateway's certificate.*unknown ca/);
  await expect.poll(reasons).toContain('requires a valid client certificate');
});

test('a privileged role is refused as for every kind of login', async () => {
  await expect(front.login('superuser')).rejects.toMatchObject({ code: '42501' });
});

describe('a client as reader stays reader after', () => {
  test.each(ESCAPES)('%s', async (sql) => {
    const client = await front.login('reader');
    await attempt(client, sql);
    expect(await outlook(client)).toEqual(OF_READER);
    await client.end();
  });
});

test('a password that the role gives itself opens nothing', async () => {
  const client = await front.login('reader');
  await client.query("alter role reader password 'of my own'");
  await client.end();
  const before = postgres.log().length;
  await expect(front.login('reader', { database: 'by_password' })).rejects.toMatchObject({ code: '08004' });
  expect(postgres.log().slice(before)).not.toContain('connection authorized');
});

test('no private key is in the log, and none was written beside the config', () => {
  const { folder: home, log, complaints } = front.gateway;
  expect(log + complaints).not.toMatch(/PRIVATE KEY|BEGIN CERTIFICATE/);
  const keys = readdirSync(home).filter((name) => readFileSync(join(home, name)).includes('PRIVATE KEY'));
  expect(keys.sort()).toEqual(['gateway-ca.key', 'stranger-ca.key']);
});
