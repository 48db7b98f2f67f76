/** Logins by a client certificate alone: psql and drivers, who is refused and why, authorities of one name, revocation, and the end. */
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import type { ListenTls } from '../../core/contract/listen.ts';
import { audit } from '../../plugins/audit/index.ts';
import { certificates } from '../../plugins/certificates/index.ts';
import type { CertificatesOptions } from '../../plugins/certificates/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { limits } from '../../plugins/limits/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { auditLines } from '../support/audit-files.ts';
import { certificates as serverFiles } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { ClientAuthority, der } from '../support/client-authority.ts';
import type { Issued } from '../support/client-authority.ts';
import { databaseOf, pgClient, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { RawClient, startup } from '../support/raw-client.ts';
import { issuer } from '../support/token.ts';

const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;
const BILLING = 'spiffe://example.org/ns/prod/sa/billing';
const people = issuer();
const byRole = roles([
  { issuer: people.issuer, claim: 'role', allow: ['reader'] },
  { issuer: 'certificate:', claim: 'role', allow: ['reader', 'writer'] },
]);
const byId: CertificatesOptions = {
  by: 'uri',
  trustDomain: 'example.org',
  allow: [
    { name: 'spiffe://example.org/ns/prod/sa/*', claims: { role: 'writer' }, rules: { maxConnections: 2 } },
  ],
};

let files: Certificates;
let folder: string;
let authority: ClientAuthority;
let billing: Issued;
let running: RunningGateway | undefined;
const clients: RawClient[] = [];

beforeAll(async () => {
  files = await serverFiles();
  folder = mkdtempSync(join(tmpdir(), 'postern-machines-'));
  authority = await ClientAuthority.make(folder, 'Machines CA');
  billing = await authority.issue({ subject: 'billing', names: [{ type: 'url', value: BILLING }] });
});
afterAll(() => {
  files.remove();
  rmSync(folder, { recursive: true });
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await running?.gateway.stop();
  running = undefined;
});

function configOf(options: CertificatesOptions, tls: Partial<ListenTls> = {}, more: object = {}) {
  const { certFile: cert, keyFile: key } = files.server;
  const auth = { default: 'certificate', password: { users: ['_'] } } as const;
  return {
    listen: { port: 0, tls: { cert, key, clientCa: authority.file, ...tls }, auth, ...more },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [jwt({ issuers: [people.options] }), certificates(options), byRole, limits()],
  } as const;
}

async function gateway(...of: Parameters<typeof configOf>): Promise<RunningGateway> {
  running = await startGateway(configOf(...of));
  return running;
}

interface Shown {
  readonly cert: string;
  readonly key: string;
}

function driver({ port }: RunningGateway, { cert, key }: Partial<Shown> = {}, user = 'writer'): Client {
  const ssl = { ca: files.ca.cert, ...(cert !== undefined && key !== undefined && { cert, key }) };
  const client = new Client({ host: 'localhost', port, user, database: 'orders', ssl });
  client.on('error', () => {});
  return client;
}

/** What the client reads and what the log says, or nothing where it is let in. */
async function refusal(
  at: RunningGateway,
  shown: Partial<Shown> | undefined,
  maxVersion: (typeof VERSIONS)[number] = 'TLSv1.3',
): Promise<{ readonly said: Record<string, string>; readonly reason: string } | undefined> {
  const client = await RawClient.connect(at.port);
  clients.push(client);
  await client.startTls({ ...shown, maxVersion });
  client.send(startup({ user: 'writer', database: 'orders' }));
  try {
    await client.until('Z');
    return undefined;
  } catch (error) {
    const last = [...at.lines('login refused'), ...at.lines('refused')].at(-1);
    const said = JSON.parse((error as Error).message) as Record<string, string>;
    return { said, reason: String(last?.['reason'] ?? last?.['why']) };
  }
}

describe('a machine', () => {
  test('logs in by its certificate with node-postgres, beside people with tokens', async () => {
    const at = await gateway(byId);
    const machine = driver(at, billing);
    await machine.connect();
    expect((await machine.query('select session_user')).rows).toEqual([{ session_user: 'writer' }]);
    await machine.end();
    const person = driver(at, {}, '_');
    Object.assign(person, { password: people.sign() });
    const other = pgClient(at, 'orders', people.sign());
    await other.connect();
    await other.end();
    expect(at.lines('login')).toMatchObject([
      { credential: 'certificate', subject: BILLING, role: 'writer' },
      { credential: 'password', subject: 'alice', role: 'reader' },
    ]);
  });

  test('keeps its rules', async () => {
    const at = await gateway(byId);
    const three = [driver(at, billing), driver(at, billing), driver(at, billing)];
    const [first, second, third] = three;
    await first?.connect();
    await second?.connect();
    await expect(third?.connect()).rejects.toMatchObject({ code: '53300' });
    for (const one of [first, second]) await one?.end();
  });

  test('is written down by the audit with its issuer, its id and its credential', async () => {
    const file = join(folder, 'audit.jsonl');
    const config = configOf(byId);
    running = await startGateway({ ...config, plugins: [audit({ sink: { file } }), ...config.plugins] });
    const client = driver(running, billing);
    await client.connect();
    await client.end();
    await running.gateway.stop();
    expect(auditLines(file).filter(({ type }) => type === 'login')).toMatchObject([
      { issuer: 'certificate:', subject: BILLING, credential: 'certificate', role: 'writer' },
    ]);
  });

  test('is the same behind a proxy that says where it comes from', async () => {
    const at = await gateway(byId, {}, { proxyProtocol: { trusted: ['127.0.0.1/32'] } });
    const client = await RawClient.connect(at.port);
    clients.push(client);
    client.send(Buffer.from('PROXY TCP4 192.0.2.7 127.0.0.1 5555 6432\r\n'));
    await client.startTls({ cert: billing.cert, key: billing.key });
    client.send(startup({ user: 'writer', database: 'orders' }));
    await client.until('Z');
    expect(at.lines('login')).toMatchObject([{ address: '192.0.2.7', subject: BILLING }]);
  });

  test('whose certificate ends loses its session, even in a transaction', async () => {
    const short = await authority.issue({ names: [{ type: 'url', value: BILLING }], leftMs: 4_000 });
    const at = await gateway(byId);
    const client = driver(at, short);
    const ended = new Promise<Error>((resolve) => client.on('error', resolve));
    await client.connect();
    await client.query('begin');
    expect(await ended).toMatchObject({ code: '57P01', message: 'the client certificate has expired' });
  });
});

describe.each(VERSIONS)('over %s', (version) => {
  const TEXT = 'connection requires a valid client certificate';

  test('who has no certificate, a foreign one or an expired one is refused as by the listener', async () => {
    const foreign = await (
      await ClientAuthority.make(folder, 'Machines CA')
    ).issue({
      names: [{ type: 'url', value: BILLING }],
    });
    const expired = await authority.issue({ names: [{ type: 'url', value: BILLING }], leftMs: -60_000 });
    const at = await gateway(byId);
    const M = TEXT;
    expect(await refusal(at, undefined, version)).toMatchObject({
      said: { C: '28000', M },
      reason: `${TEXT}: the client has shown none`,
    });
    expect(await refusal(at, foreign, version)).toMatchObject({
      said: { C: '28000', M, D: expect.any(String) as string },
    });
    expect(await refusal(at, expired, version)).toMatchObject({
      said: { C: '28000', M, D: 'certificate expired' },
    });
    expect(await refusal(at, billing, version)).toBeUndefined();
  });

  test('who has one that says something else is refused in one way, whatever it is', async () => {
    const uri = (...content: readonly (Buffer | string)[]): Buffer => der(0x86, ...content);
    const odd: Readonly<Record<string, Buffer>> = {
      'has no URIs': der(0x30, der(0x82, 'billing.example')),
      'no entry for': der(0x30, uri('spiffe://example.org/ns/test/sa/billing')),
      'not of trust domain': der(0x30, uri('spiffe://other.org/ns/prod/sa/billing')),
      'has 2 of URIs': der(0x30, uri(BILLING), uri('spiffe://example.org/ns/prod/sa/admin')),
      'no SPIFFE id': der(0x30, uri(`${BILLING}, URI:spiffe://example.org/x`.replace(' ', ''))),
    };
    const at = await gateway(byId);
    for (const [why, rawNames] of Object.entries(odd)) {
      const found = await refusal(at, await authority.issue({ rawNames }), version);
      expect(found?.said).toMatchObject({
        C: '28000',
        M: 'certificate authentication failed for user "writer"',
      });
      expect(found?.said['D']).toBeUndefined();
      expect(found?.reason).toContain(why);
    }
    for (const name of [
      `${BILLING}\0.evil`,
      `evil\0${BILLING}`,
      `x, URI:${BILLING}`,
      `"x", URI:${BILLING}`,
    ]) {
      const rawNames = der(0x30, uri(name), der(0x82, `x, URI:${BILLING}`));
      const found = await refusal(at, await authority.issue({ rawNames }), version);
      expect([found?.said['C'], found?.reason]).toEqual([
        '28000',
        expect.stringContaining('has no URIs') as string,
      ]);
    }
  });
});

test('two authorities of one name are told apart by their certificates', async () => {
  const twin = await ClientAuthority.make(folder, 'Machines CA');
  const clientCa = join(folder, 'both.crt');
  writeFileSync(clientCa, authority.pem + twin.pem);
  const names = [{ type: 'url', value: BILLING }] as const;
  const byTwin = await twin.issue({ names: [...names] });
  const authorities = { mesh: authority.file, build: twin.file };
  const at = await gateway(
    {
      ...byId,
      authorities,
      allow: [{ name: BILLING, authority: 'mesh', claims: { role: 'writer' } }],
    },
    { clientCa },
  );
  expect(await refusal(at, byTwin)).toMatchObject({
    reason: expect.stringContaining('of authority build') as string,
  });
  // Another issuer of identities: roles() has to know it.
  expect(await refusal(at, billing)).toMatchObject({
    reason: expect.stringContaining('issuer certificate:mesh') as string,
  });
  const only = await startGateway(configOf({ ...byId, authorities: { build: twin.file } }, { clientCa }));
  const { reason } = (await refusal(only, billing)) ?? {};
  await only.gateway.stop();
  expect(reason).toContain('is none of certificates.authorities');
});

test('a certificate of an intermediate authority that the client sends belongs to the one above', async () => {
  const middle = await ClientAuthority.make(folder, 'Middle', authority);
  const machine = await middle.issue({ names: [{ type: 'url', value: BILLING }] });
  const { lines, ...at } = await gateway({ ...byId, authorities: { mesh: authority.file } });
  const chain = { cert: machine.cert + middle.pem, key: machine.key };
  expect((await refusal({ lines, ...at }, chain))?.reason).toContain('issuer certificate:mesh');
  expect((await refusal({ lines, ...at }, machine))?.said['C']).toBe('28000');
  // What is sent behind it was not verified: it makes nobody another authority's.
  const stranger = await ClientAuthority.make(folder, 'Middle');
  const mixed = { cert: machine.cert + stranger.pem + middle.pem, key: machine.key };
  const refused = await refusal({ lines, ...at }, mixed);
  expect(refused?.said['C']).toBe('28000');
});

describe('revocation', () => {
  const crl = (): string => join(folder, 'list.crl');
  const names = [{ type: 'url', value: BILLING }] as const;

  test('refuses a revoked certificate, over both versions', async () => {
    const revoked = await authority.issue({ names: [...names] });
    writeFileSync(crl(), await authority.list([revoked]));
    const at = await gateway(byId, { crl: crl() });
    for (const version of VERSIONS) {
      expect(await refusal(at, revoked, version)).toMatchObject({
        said: { C: '28000', D: 'certificate revoked' },
        reason: expect.stringContaining('CERT_REVOKED') as string,
      });
      expect(await refusal(at, billing, version)).toBeUndefined();
    }
  });

  test('ends the sessions of a certificate that a reload revokes, and no others', async () => {
    const revoked = await authority.issue({ names: [...names] });
    writeFileSync(crl(), await authority.list([]));
    const at = await gateway(byId, { crl: crl() });
    const [bad, good] = [driver(at, revoked), driver(at, billing)];
    const ended = new Promise<Error>((resolve) => bad.on('error', resolve));
    await bad.connect();
    await bad.query('begin');
    await good.connect();
    // It has shaken hands, and has not said who it is.
    const late = await RawClient.connect(at.port);
    clients.push(late);
    await late.startTls({ cert: revoked.cert, key: revoked.key });
    writeFileSync(crl(), await authority.list([revoked]));
    await at.gateway.reload(checkConfig(configOf(byId, { crl: crl() }), tmpdir()));
    expect(await ended).toMatchObject({ code: '57P01', message: 'the client certificate has been revoked' });
    expect((await good.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    await good.end();
    late.send(startup({ user: 'writer', database: 'orders' }));
    expect(await late.error()).toMatchObject({ C: '28000', D: 'certificate revoked' });
    expect(await refusal(at, revoked)).toMatchObject({ said: { D: 'certificate revoked' } });
  });

  test('by the list of an authority of the same name means none of the other', async () => {
    const twin = await ClientAuthority.make(folder, 'Machines CA');
    const serialNumber = '1234567890abcdef';
    const [mine, other] = [
      await authority.issue({ names: [...names], serialNumber }),
      await twin.issue({ names: [...names], serialNumber }),
    ];
    const clientCa = join(folder, 'twins.crt');
    writeFileSync(clientCa, authority.pem + twin.pem);
    writeFileSync(crl(), (await authority.list([])) + (await twin.list([])));
    const at = await gateway(byId, { crl: crl(), clientCa });
    const client = driver(at, mine);
    await client.connect();
    writeFileSync(crl(), (await authority.list([])) + (await twin.list([other])));
    await at.gateway.reload(checkConfig(configOf(byId, { crl: crl(), clientCa }), tmpdir()));
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
    await client.end();
    expect(await refusal(at, mine)).toBeUndefined();
    expect((await refusal(at, other))?.said['C']).toBe('28000');
  });

  test('with a list that is out of date lets nobody in by certificate, and others as ever', async () => {
    writeFileSync(crl(), await authority.list([], -60_000));
    const at = await gateway(byId, { crl: crl() });
    // Once, however many workers there are.
    await expect
      .poll(() => at.lines('a revocation list is out of date'))
      .toMatchObject([{ option: 'listen.tls.crl', issuer: 'CN=Machines CA' }]);
    expect((await refusal(at, billing))?.reason).toContain('CRL_HAS_EXPIRED');
    const person = pgClient(at, 'orders', people.sign());
    await person.connect();
    await person.end();
  });

  const boot = (tls: Partial<ListenTls>): string => {
    try {
      checkConfig(configOf(byId, tls), tmpdir());
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };

  test('stops the boot where its file would refuse everybody', async () => {
    const other = await ClientAuthority.make(folder, 'Other CA');
    writeFileSync(crl(), await authority.list([]));
    expect(boot({ crl: crl() })).toBe('');
    expect(boot({ crl: '/nowhere/x.crl' })).toContain('listen.tls.crl: cannot read /nowhere/x.crl: ENOENT');
    expect(boot({ crl: authority.file })).toContain('listen.tls.crl: no PEM revocation list (X509 CRL) in');
    const list = readFileSync(crl(), 'utf8');
    writeFileSync(crl(), list.replace(/\n.{64}\n/, '\n'));
    expect(boot({ crl: crl() })).toContain('listen.tls.crl: broken revocation list in');
    writeFileSync(crl(), list.replace('\n-----END', '\n\n-----END'));
    expect(boot({ crl: crl() })).toContain('listen.tls.crl: broken revocation list in');
    writeFileSync(crl(), await other.list([]));
    expect(boot({ crl: crl() })).toContain('is signed by CN=Machines CA of clientCa');
    const clientCa = join(folder, 'two.crt');
    writeFileSync(clientCa, authority.pem + other.pem);
    expect(boot({ crl: crl(), clientCa })).toContain('is signed by CN=Machines CA of clientCa');
    writeFileSync(crl(), (await other.list([])) + list);
    expect(boot({ crl: crl(), clientCa })).toBe('');
    const { certFile: cert, keyFile: key } = files.server;
    const bare = { listen: { tls: { cert, key, crl: crl() } }, databases: {}, plugins: [] };
    expect(() => checkConfig(bare, tmpdir())).toThrow('listen.tls.crl: needs clientCa');
  });
});

describeWith('psql', (psql) => {
  const run = (at: RunningGateway, shown: Issued | undefined): Promise<string> => {
    const env = {
      ...process.env,
      PGPASSFILE: '/nowhere',
      PGSSLROOTCERT: files.ca.certFile,
      PGSSLCERT: shown?.certFile ?? '/nowhere',
      ...(shown && { PGSSLKEY: shown.keyFile }),
    };
    const where = `host=localhost port=${at.port} user=writer dbname=orders sslmode=verify-full`;
    return new Promise((resolve) => {
      execFile(psql, ['-XAtwq', where, '-c', 'select session_user'], { env }, (_, out, error) =>
        resolve(out + error),
      );
    });
  };

  test('logs in without a password, and a person reads why not', async () => {
    const at = await gateway(byId);
    expect(await run(at, billing)).toBe('writer\n');
    expect(await run(at, undefined)).toContain('FATAL:  connection requires a valid client certificate');
    const other = await authority.issue({
      names: [{ type: 'url', value: 'spiffe://example.org/ns/test/sa/x' }],
    });
    expect(await run(at, other)).toContain('FATAL:  certificate authentication failed for user "writer"');
  });
});
