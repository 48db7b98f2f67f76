/** Client certificates that are not valid: the client reads why, as near to PostgreSQL as Node's TLS permits, and the log has the reason. */
import { execFile } from 'node:child_process';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { GOOD_TOKEN, databaseOf, logIn, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { GSSENC_REQUEST, RawClient, cancelRequest, fieldsOf, startup } from '../support/raw-client.ts';

const DEMANDS = ['optional', 'required'] as const;
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
const TEXT = 'connection requires a valid client certificate';
let files: Certificates;
let postgres: OwnPostgres;
const gateways = new Map<string, RunningGateway>();

beforeAll(async () => {
  files = await certificates();
  const { server, ca } = files;
  postgres = await startPostgres({
    ssl: { cert: server.cert, key: server.key, ca: ca.cert },
    hba: ['hostssl all reader 127.0.0.1/32 scram-sha-256 clientcert=verify-ca'],
  });
  for (const clientCertificate of DEMANDS) {
    const tls = { cert: server.certFile, key: server.keyFile, clientCa: ca.certFile, clientCertificate };
    const listen = { port: 0, plaintext: 'never', tls } as const;
    const databases = {
      orders: databaseOf(postgres, {
        tls: { mode: 'disable' },
        login: { kind: 'password', passwords: { writer: postgres.passwords.writer } },
      }),
    };
    gateways.set(clientCertificate, await startGateway({ listen, databases, plugins: [mapTo('writer')] }));
  }
});
afterAll(async () => {
  for (const { gateway } of gateways.values()) await gateway.stop();
  await postgres.stop();
  files.remove();
});

const gatewayOf = (demand: string): RunningGateway => {
  const found = gateways.get(demand);
  if (!found) throw new Error(`no gateway with ${demand}`);
  return found;
};

interface Shown {
  readonly cert?: string;
  readonly key?: string;
}

const shown = (which: 'wrongServer' | 'expiredClient' | 'client' | undefined): Shown =>
  which === undefined ? {} : { cert: files[which].cert, key: files[which].key };

/** The alert with which the peer ends the connection, in OpenSSL's words, or the error that it sends. */
async function refusalOf(
  port: number,
  which: Parameters<typeof shown>[0],
  maxVersion: (typeof VERSIONS)[number],
): Promise<Record<string, string> | string> {
  const socket = connect({
    port,
    host: '127.0.0.1',
    rejectUnauthorized: false,
    ALPNProtocols: ['postgresql'],
    maxVersion,
    ...shown(which),
    socket: (await negotiated(port)).socket,
  });
  let read = Buffer.alloc(0);
  let alert: string | undefined;
  socket.on('data', (chunk: Buffer) => (read = Buffer.concat([read, chunk])));
  socket.on('error', ({ message }) => (alert ??= message));
  socket.write(startup({ user: 'reader', database: 'postgres' }));
  await new Promise((resolve) => socket.on('close', resolve));
  if (read[0] === 0x45) return fieldsOf(read.subarray(5));
  return alert ?? `${read.length} bytes and no alert`;
}

async function negotiated(port: number): Promise<RawClient> {
  const client = await RawClient.connect(port);
  client.send(Buffer.from('0000000804d2162f', 'hex'));
  await client.read(1);
  client.socket.removeAllListeners('data');
  return client;
}

describe.each(VERSIONS)('%s', (version) => {
  describe.each(DEMANDS)('where a client certificate is %s', (demand) => {
    test.each([
      ['an untrusted', 'wrongServer', 'unknown ca', 'UNABLE_TO_'],
      ['an expired', 'expiredClient', 'certificate expired', 'CERT_HAS_EXPIRED'],
    ] as const)('%s one is refused with the reason of PostgreSQL’s alert', async (_, which, why, reason) => {
      const { port, lines } = gatewayOf(demand);
      expect(await refusalOf(postgres.port, which, version)).toContain(`alert ${why}`);
      expect(await refusalOf(port, which, version)).toMatchObject({
        S: 'FATAL',
        C: '28000',
        M: TEXT,
        D: why,
      });
      expect(String(lines('refused').at(-1)?.['why'])).toContain(`${TEXT}: ${reason}`);
    });

    test('a good one is let in', async () => {
      const client = await RawClient.connect(gatewayOf(demand).port);
      await client.startTls({ ...shown('client'), maxVersion: version });
      await logIn(client);
      client.destroy();
    });
  });

  test('a client without the one that is required reads what PostgreSQL says', async () => {
    const { port, lines } = gatewayOf('required');
    const direct = (await refusalOf(postgres.port, undefined, version)) as Record<string, string>;
    const { S, V, C, M } = direct;
    expect({ S, V, C, M }).toEqual({ S: 'FATAL', V: 'FATAL', C: '28000', M: TEXT });
    expect(await refusalOf(port, undefined, version)).toEqual({ S, V, C, M });
    expect(lines('refused').at(-1)).toMatchObject({ why: `${TEXT}: the client has shown none` });
  });

  test('and none of its plugins is asked, nor does its cancel request count', async () => {
    const { port, lines } = gatewayOf('required');
    const before = lines('refused').length;
    const client = await RawClient.connect(port);
    await client.startTls({ maxVersion: version });
    client.send(cancelRequest(1, Buffer.alloc(4)));
    expect(await client.error()).toMatchObject({ C: '28000' });
    await client.rest();
    expect(lines('refused').length).toBe(before + 1);
  });
});

test('GSSENCRequest inside TLS is refused as by PostgreSQL', async () => {
  const answers = [];
  for (const port of [postgres.port, gatewayOf('optional').port]) {
    const client = await RawClient.connect(port);
    await client.startTls();
    client.send(GSSENC_REQUEST);
    const { S, C, M } = await client.error();
    answers.push({ S, C, M: M?.replace(/server supports 3\.0 to 3\.\d/, 'server supports 3') });
    await client.rest();
  }
  expect(answers[1]).toEqual(answers[0]);
  expect(answers[0]?.C).toBe('0A000');
});

describeWith('psql', (psql) => {
  const run = (demand: string, which?: 'wrongServer' | 'expiredClient' | 'client'): Promise<string> => {
    const { port } = gatewayOf(demand);
    const key = which && { PGSSLCERT: files[which].certFile, PGSSLKEY: files[which].keyFile };
    const env = {
      ...process.env,
      PGPASSWORD: GOOD_TOKEN,
      PGSSLCERT: '/nowhere',
      PGSSLROOTCERT: files.ca.certFile,
      ...key,
    };
    const where = `host=127.0.0.1 port=${port} user=_ dbname=orders sslmode=verify-full`;
    return new Promise((resolve) => {
      execFile(psql, ['-XAtq', where, '-c', 'select 1'], { env }, (_, stdout, stderr) =>
        resolve(stdout + stderr),
      );
    });
  };

  test.each(DEMANDS)('shows a person why, where a certificate is %s', async (demand) => {
    expect(await run(demand, 'client')).toBe('1\n');
    expect(await run(demand, 'expiredClient')).toContain(`FATAL:  ${TEXT}\nDETAIL:  certificate expired`);
    expect(await run(demand, 'wrongServer')).toContain('DETAIL:  unknown ca');
    expect(await run(demand)).toContain(demand === 'required' ? `FATAL:  ${TEXT}` : '1');
  });
});

describeWith('pg_isready', (path) => {
  test('sees a gateway that requires a certificate', async () => {
    const args = ['-h', '127.0.0.1', '-p', String(gatewayOf('required').port), '-d', 'sslmode=require'];
    const said = await new Promise((resolve) => {
      execFile(path, args, (_, stdout) => resolve(stdout));
    });
    expect(said).toContain('accepting connections');
  });
});
