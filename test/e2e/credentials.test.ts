/** Several ways to log in, side by side in one listener: who is asked for what, which plugins it meets, and what operators read. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { only } from '../../core/contract/config.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import type { ListenOptions } from '../../core/contract/listen.ts';
import { parseRole } from '../../core/contract/names.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import type { CloseReason, Session } from '../../core/contract/session.ts';
import { audit } from '../../plugins/audit/index.ts';
import { console } from '../../plugins/console/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { operations } from '../../plugins/operations/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { auditLines } from '../support/audit-files.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { databaseOf, logIn, pgClient } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { gatewayForEach } from '../support/gateway-for-each.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { message, startup } from '../support/raw-client.ts';
import type { RawClient } from '../support/raw-client.ts';
import { issuer } from '../support/token.ts';

const [people, machines] = [issuer(), issuer({ issuer: 'https://machines.example' })];
const byClaim = roles({ claim: 'role', allow: ['reader', 'writer'] });
const TEXT = 'connection requires a valid client certificate';

let files: Certificates;
const { start, connect } = gatewayForEach();

beforeAll(async () => {
  files = await certificates();
});
afterAll(() => files.remove());

async function gateway(config: Partial<TestConfig>): Promise<RunningGateway> {
  const databases = { orders: databaseOf(sharedPostgres()) };
  return start({ databases, plugins: [], ...config });
}

/** A listener that asks for certificates. */
function withTls(auth: NonNullable<ListenOptions['auth']>, required = false): ListenOptions {
  const { server, ca } = files;
  const tls = {
    cert: server.certFile,
    key: server.keyFile,
    clientCa: ca.certFile,
    ...(required && { clientCertificate: 'required' as const }),
  };
  return { port: 0, tls, auth };
}

/** Whoever shows a certificate is its subject. */
const machinesByCertificate: AnyPlugin = {
  name: 'machines',
  credentials: ['certificate'],
  provides: ['identity'],
  onAuth(session) {
    const { subject = '', notAfter = new Date(0) } = session.client.tls?.certificate ?? {};
    const claims = { role: 'reader' };
    session.establish('identity', { issuer: 'certificate:', subject, expiresAt: notAfter, claims });
  },
};

/** The code of the next authentication request. */
async function asked(client: RawClient): Promise<number> {
  const { type, body } = await client.message();
  if (type !== 'R') throw new Error(`message ${type}: ${body.toString()}`);
  return body.readUInt32BE(0);
}

async function valueOf(client: RawClient, sql: string): Promise<string> {
  client.send(message('Q', `${sql}\0`));
  const rows = (await client.until('Z')).filter(({ type }) => type === 'D');
  return rows.map(({ body }) => body.toString('utf8', 6)).join();
}

describe('two plugins that identify clients, in one listener', () => {
  const announced = { ...machines.options, oauth: { scope: 'openid' } };
  const plugins = [
    { ...jwt({ issuers: [people.options] }), credentials: ['password'] },
    { ...jwt({ issuers: [announced] }), name: 'machine-tokens', credentials: ['oauthbearer'] },
    byClaim,
  ] as const;
  const auth = { default: 'oauthbearer', password: { users: ['_'] } } as const;

  test('are chosen by the user name, each with its own tokens', async () => {
    const at = await gateway({ listen: { port: 0, auth }, plugins });
    const person = pgClient(at, 'orders', people.sign({ sub: 'alice' }));
    await person.connect();
    expect((await person.query('select session_user')).rows).toEqual([{ session_user: 'reader' }]);
    await person.end();

    const machine = await connect(at);
    machine.send(startup({ user: 'writer', database: 'orders' }));
    expect(await asked(machine)).toBe(10);
    const response = Buffer.from(
      `n,,\x01auth=Bearer ${machines.sign({ sub: 'billing', role: 'writer' })}\x01\x01`,
    );
    const length = Buffer.alloc(4);
    length.writeInt32BE(response.length);
    machine.send(message('p', Buffer.concat([Buffer.from('OAUTHBEARER\0'), length, response])));
    await machine.until('Z');
    expect(await valueOf(machine, 'select session_user')).toBe('writer');
    expect(at.lines('login')).toMatchObject([
      { user: '_', credential: 'password', subject: 'alice' },
      { user: 'writer', credential: 'oauthbearer', subject: 'billing' },
    ]);
  });

  test('do not take each other’s tokens, and the refusal says which credential was tried', async () => {
    const at = await gateway({ listen: { port: 0, auth }, plugins });
    await expect(pgClient(at, 'orders', machines.sign()).connect()).rejects.toMatchObject({ code: '28P01' });
    expect(at.lines('login refused')).toMatchObject([{ user: '_', credential: 'password' }]);
  });

  test('each meet their own sessions only, with all of their hooks', async () => {
    const met: string[] = [];
    const watching = (name: string, more: Partial<AnyPlugin>): AnyPlugin => ({
      name,
      on: { login: () => void met.push(`${name} login`), close: () => void met.push(`${name} close`) },
      checks: { identity: () => void met.push(`${name} check`) },
      onStartup: ({ credential }) => void met.push(`${name} onStartup ${credential}`),
      onAuth: () => void met.push(`${name} onAuth`),
      onQuery: () => void met.push(`${name} onQuery`),
      onClose: (_: Session, { kind }: CloseReason) => void met.push(`${name} onClose ${kind}`),
      ...more,
    });
    const inBand = { 'postern.mine': () => void met.push('SET') };
    const startupParameters = ['postern.mine'] as const;
    const [other] = only({ credentials: ['oauthbearer'] }, watching('other', { inBand, startupParameters }));
    const own = watching('own', { credentials: ['password'], inBand, startupParameters });
    const at = await gateway({ listen: { port: 0, auth }, plugins: [...plugins, own, other] });
    const client = pgClient(at, 'orders', people.sign());
    await client.connect();
    await client.query("set postern.mine = 'x'");
    await client.query('select 1');
    await client.end();
    await expect.poll(() => met.at(-1)).toBe('own close');
    expect(met).toEqual([
      'own onStartup password',
      'own check',
      'own onAuth',
      'own login',
      'SET',
      'own onQuery',
      'own onClose client',
      'own close',
    ]);
  });
});

describe('a client that shows its certificate', () => {
  const auth = { default: 'password', certificate: { users: ['reader', 'billing'] } } as const;
  const plugins = (): readonly AnyPlugin[] => [
    jwt({ issuers: [people.options] }),
    machinesByCertificate,
    byClaim,
  ];

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('is asked for nothing, over %s', async (version) => {
    const at = await gateway({ listen: withTls(auth), plugins: plugins() });
    const { cert, key } = files.client;
    const client = await (await connect(at)).startTls({ cert, key, maxVersion: version });
    client.send(startup({ user: 'reader', database: 'orders' }));
    expect(await asked(client)).toBe(0);
    await client.until('Z');
    expect(await valueOf(client, 'select session_user')).toBe('reader');
    expect(at.lines('login')).toMatchObject([{ credential: 'certificate', subject: 'CN=client' }]);
  });

  test('is still asked for a token under another name', async () => {
    const at = await gateway({ listen: withTls(auth), plugins: plugins() });
    const { cert, key } = files.client;
    const client = await (await connect(at)).startTls({ cert, key });
    await logIn(client, { user: '_' }, { token: people.sign() });
    expect(at.lines('login')).toMatchObject([{ credential: 'password', subject: 'alice' }]);
  });

  test('without one is refused before any onAuth, and so is one without TLS', async () => {
    const seen: string[] = [];
    const gate: AnyPlugin = {
      name: 'gate',
      onStartup: ({ credential }) => void seen.push(credential),
      onAuth: () => void seen.push('onAuth'),
    };
    const at = await gateway({ listen: withTls(auth), plugins: [gate, ...plugins()] });
    const bare = await (await connect(at)).startTls();
    bare.send(startup({ user: 'reader', database: 'orders' }));
    expect(await bare.error()).toMatchObject({ S: 'FATAL', C: '28000', M: TEXT });
    const plain = await connect(at);
    plain.send(startup({ user: 'reader', database: 'orders' }));
    expect(await plain.error()).toMatchObject({ S: 'FATAL', C: '28000', M: TEXT });
    expect(seen).toEqual(['certificate', 'certificate']);
    expect(at.lines('login refused')).toMatchObject([
      { credential: 'certificate', reason: `${TEXT}: the client has shown none` },
      { credential: 'certificate', reason: `${TEXT}: the client has come without TLS` },
    ]);
  });

  test('has no token, and a plugin that asks for one is told so in the log', async () => {
    const asking: AnyPlugin = {
      name: 'asking',
      provides: ['identity'],
      onAuth: async (session) => void (await session.token()),
    };
    const at = await gateway({ listen: withTls('certificate'), plugins: [asking] });
    const { cert, key } = files.client;
    const client = await (await connect(at)).startTls({ cert, key });
    client.send(startup({ user: 'reader', database: 'orders' }));
    const error = await client.error();
    expect(error).toMatchObject({ S: 'FATAL', C: 'XX000' });
    expect(JSON.stringify(error)).not.toContain('token()');
    expect(JSON.stringify(at.lines('internal error'))).toContain(
      "session.token() is for 'password' and 'oauthbearer': this client is asked for 'certificate'",
    );
  });

  test('is known to plugins by what its certificate says', async () => {
    const sessions: Session[] = [];
    const watching: AnyPlugin = { name: 'watching', onStartup: (session) => void sessions.push(session) };
    const at = await gateway({ listen: withTls(auth), plugins: [watching, ...plugins()] });
    const { cert, key } = files.client;
    const client = await (await connect(at)).startTls({ cert, key });
    await logIn(client, { user: '_' }, { token: people.sign() });
    const tls = sessions[0]?.client.tls;
    expect(tls?.certificate).toMatchObject({
      sha256: tls?.certificateSha256,
      subject: 'CN=client',
      issuer: 'CN=Postern test CA',
      commonNames: ['client'],
      dns: ['client'],
      uris: [],
    });
  });
});

describe('an operator', () => {
  const admin = { port: 0, operators: { claim: 'role', value: 'writer' } } as const;
  const plugins = (): readonly AnyPlugin[] => [
    operations(),
    jwt({ issuers: [people.options] }),
    machinesByCertificate,
    byClaim,
    console(),
  ];
  const token = (): string => people.sign({ role: 'writer' });

  test('comes to the console with a token where the listener takes one', async () => {
    const auth = { default: 'certificate', password: { users: ['_'] } } as const;
    const at = await gateway({ listen: withTls(auth), plugins: plugins(), admin });
    const client = pgClient(at, 'pgbouncer', token());
    await client.connect();
    expect((await client.query('show version')).rows).toHaveLength(1);
    await client.end();
  });

  test('is told that it takes none, and the log says which credential was tried', async () => {
    const at = await gateway({ listen: withTls('certificate'), plugins: plugins(), admin });
    const { cert, key } = files.client;
    const client = await (await connect(at)).startTls({ cert, key });
    client.send(startup({ user: '_', database: 'pgbouncer' }));
    expect(await client.error()).toMatchObject({ C: '28000', M: 'this database is opened by a token' });
    expect(at.lines('login refused')).toMatchObject([{ credential: 'certificate' }]);
  });

  test('is verified by HTTP whatever listeners take', async () => {
    const at = await gateway({ listen: withTls('certificate'), plugins: plugins(), admin });
    const headers = { authorization: `Bearer ${token()}` };
    const answer = await fetch(`http://127.0.0.1:${at.adminPort}/v1/plugins`, { headers });
    expect(answer.status).toBe(200);
    expect(JSON.stringify(await answer.json())).toContain('"credentials":["password","oauthbearer"]');
  });
});

test('a session of another credential cannot move to an entry whose plugins are others', async () => {
  const moving: AnyPlugin = {
    name: 'moving',
    credentials: ['certificate'],
    onAuth: (_, upstream) => ({ ...upstream, entry: 'billing', role: parseRole('reader') }),
  };
  const [guard] = only(
    { databases: ['billing'], credentials: ['certificate'] },
    {
      name: 'guard',
      onAuth() {
        throw new GatewayError('insufficient_privilege', 'not you');
      },
    },
  );
  const databases = { orders: databaseOf(sharedPostgres()), billing: databaseOf(sharedPostgres()) };
  const at = await gateway({
    listen: withTls('certificate'),
    databases,
    plugins: [machinesByCertificate, moving, guard],
  });
  const { cert, key } = files.client;
  const client = await (await connect(at)).startTls({ cert, key });
  client.send(startup({ user: 'reader', database: 'orders' }));
  expect(await client.error()).toMatchObject({ C: '28000' });
  expect(String(at.lines('login refused')[0]?.['reason'])).toContain('only() has other plugins');
});

test('the audit trail says with which credential somebody has logged in', async () => {
  const file = join(files.folder, 'audit.jsonl');
  const plugins = [jwt({ issuers: [people.options] }), byClaim, audit({ sink: { file } })];
  const at = await gateway({ plugins });
  const client = pgClient(at, 'orders', people.sign());
  await client.connect();
  await client.end();
  await at.gateway.stop();
  expect(auditLines(file)).toContainEqual(expect.objectContaining({ type: 'login', credential: 'password' }));
});

describeWith('psql', (psql) => {
  test('logs in by its certificate alone', async () => {
    const at = await gateway({
      listen: withTls('certificate', true),
      plugins: [machinesByCertificate, byClaim],
    });
    const env = {
      ...process.env,
      PGPASSFILE: '/nowhere',
      PGSSLROOTCERT: files.ca.certFile,
      PGSSLCERT: files.client.certFile,
      PGSSLKEY: files.client.keyFile,
    };
    const where = `host=localhost port=${at.port} user=reader dbname=orders sslmode=verify-full`;
    const said = await new Promise((resolve) => {
      execFile(psql, ['-XAtwq', where, '-c', 'select session_user'], { env }, (_, out, error) =>
        resolve(out + error),
      );
    });
    expect(said).toBe('reader\n');
  });
});
