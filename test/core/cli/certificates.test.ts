/** The certificates that other tests rely on say what they promise, in a TLS handshake and to PostgreSQL. */
import { X509Certificate } from 'node:crypto';
import { statSync } from 'node:fs';
import { Client } from 'pg';
import { afterAll, expect, test } from 'vitest';
import { certificates } from '../../support/certificates.ts';
import { startPostgres } from '../../support/postgres.ts';

const made = await certificates();
afterAll(() => {
  made.remove();
});

test('each certificate verifies under its own authority only', () => {
  const [ca, wrongCa] = [made.ca, made.wrongCa].map(({ cert }) => new X509Certificate(cert).publicKey);
  const server = new X509Certificate(made.server.cert);
  if (!ca || !wrongCa) throw new Error('no keys');
  expect([server.verify(ca), server.verify(wrongCa)]).toEqual([true, false]);
  expect([
    server.checkHost('localhost'),
    server.checkIP('127.0.0.1'),
    server.checkHost('other.example'),
  ]).toEqual(['localhost', '127.0.0.1', undefined]);
  expect(statSync(made.server.keyFile).mode & 0o077).toBe(0);
});

test('PostgreSQL serves TLS with them, and asks for a client certificate', async () => {
  const server = await startPostgres({
    ssl: { cert: made.server.cert, key: made.server.key, ca: made.ca.cert },
    hba: ['hostssl all reader 127.0.0.1/32 scram-sha-256 clientcert=verify-ca'],
  });
  afterAll(() => server.stop());
  const connect = async (ssl: object): Promise<string> => {
    const client = new Client({
      host: 'localhost',
      port: server.port,
      database: 'postgres',
      user: 'reader',
      password: server.passwords.reader,
      ssl: { ca: made.ca.cert, ...ssl },
    });
    await client.connect();
    const { rows } = await client.query<{ version: string }>(
      'select version from pg_stat_ssl where pid = pg_backend_pid()',
    );
    await client.end();
    return rows[0]?.version ?? '';
  };
  await expect(connect({ cert: made.client.cert, key: made.client.key })).resolves.toBe('TLSv1.3');
  await expect(connect({})).rejects.toThrow(/certificate|reset/);
  await expect(connect({ ca: made.wrongCa.cert })).rejects.toThrow(/self-signed|unable to verify/);
});
