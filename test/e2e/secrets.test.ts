/** Marked secrets go through a gateway process at its most talkative; nobody who listens in finds a mark. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DatabaseError } from 'pg';
import { freePort } from '../support/free-port.ts';
import { badTokens } from '../support/bad-tokens.ts';
import { hasProc, prepareCheckout } from '../support/gateway-process.ts';
import { logIn } from '../support/gateway.ts';
import type { LoggedIn } from '../support/gateway.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { startCollector } from '../support/otlp-collector.ts';
import type { Collector } from '../support/otlp-collector.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { childrenOf } from '../support/processes.ts';
import { RawClient, cancelRequest, message } from '../support/raw-client.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';

/** What must stay secret, by what it is. */
const secrets = new Map<string, Buffer>();
/** Everything that anybody but the server and the owner of the token can read, by where. */
const heard = new Map<string, string>();

let front: TokenGateway;
let collector: Collector;
let adminPort: number;

/** A plugin as careless as they come: what it throws and logs must do no harm. */
const CARELESS = `{
  name: 'careless',
  inBand: { 'postern.careless': (_: unknown, value: string) => { if (value !== 'fine') throw new Error('in band failed'); } },
  onQuery(session: never, statement: { sql?: string }) {
    if (statement.sql?.includes('throw')) throw Object.assign(new Error('thrown by a plugin'), { payload: session });
  },
  onClose(session: never) { throw Object.assign(new Error('thrown at the end'), { session }); },
},`;

beforeAll(async () => {
  prepareCheckout();
  const postgres = sharedPostgres();
  adminPort = await freePort();
  collector = await startCollector();
  const sent = `{ endpoint: '${collector.endpoint}' }`;
  front = await startTokenGateway(postgres, {
    before: `import { audit } from 'postern/plugins/audit';
      import { operations } from 'postern/plugins/operations';
      import { tracing } from 'postern/plugins/tracing';`,
    plugins: `${CARELESS}
      operations(),
      audit({ sink: { file: 'audit.jsonl' } }),
      tracing({ traces: ${sent}, metrics: { public: true, statements: true, otlp: ${sent} }, accessLog: true, identity: true }),`,
    databases:
      'wrong: { ...server, login: { kind: "password", passwords: { reader: "canary-of-a-wrong-password" } } }',
    more: `admin: { port: ${adminPort}, operators: { claim: 'role', value: 'reader' } }, logLevel: 'debug', drainTimeout: '5s'`,
  });
  secrets.set('the password of the role', Buffer.from(postgres.passwords.reader));
  secrets.set('a wrong password of the role', Buffer.from('canary-of-a-wrong-password'));
}, 120_000);
afterAll(async () => {
  await front.gateway.remove();
  await collector.stop();
});

function hear(where: string, what: unknown): void {
  const fields = what instanceof Error ? [what.message, ...Object.entries(what)] : what;
  heard.set(where, (heard.get(where) ?? '') + (typeof fields === 'string' ? fields : JSON.stringify(fields)));
}

/** A token is as secret as its signature; what stands in it may be logged by design, such as its subject. */
function keepSecret(name: string, token: string): string {
  const mark = token.split('.')[2] ?? '';
  secrets.set(name, Buffer.from(token));
  if (mark.length > 20) secrets.set(`the signature of ${name}`, Buffer.from(mark));
  return token;
}

async function rawLogin(): Promise<LoggedIn> {
  const { port, user } = front.address();
  const token = keepSecret(`token ${secrets.size}`, front.address().password);
  const session = await logIn(await RawClient.connect(port), { user }, { token });
  secrets.set(`cancel key ${secrets.size}`, session.secret);
  return session;
}

async function refusedLogin(where: string, token: string, more: object = {}): Promise<void> {
  await front.login('reader', { password: token, ...more }).then(
    () => expect.unreachable(`${where} was let in`),
    (error: unknown) => hear(`the refusal of ${where}`, error),
  );
}

async function cancelled({ client, processId, secret }: LoggedIn): Promise<void> {
  client.send(message('Q', 'select pg_sleep(600)\0'));
  for (const key of [Buffer.from(secret.map((byte) => byte ^ 0x55)), secret]) {
    const other = await RawClient.connect(front.gateway.port);
    other.send(cancelRequest(processId, key));
    hear('the answer to a cancel request', (await other.rest()).toString('latin1'));
  }
  const [error] = (await client.until('E')).slice(-1);
  hear('the error of a cancelled statement', error?.body.toString('latin1'));
}

/** In how many ways a secret may be written. */
function spellings(secret: Buffer): string[] {
  const base64 = secret.toString('base64').replace(/=+$/, '');
  const spelled = [secret.toString('hex'), base64, secret.toString('base64url'), JSON.stringify(secret)];
  const plain = secret.toString('latin1');
  // Four bytes of a cancel key may well be letters that stand anywhere.
  return secret.length < 8 ? [secret.toString('hex'), String(secret.readUInt32BE(0))] : [plain, ...spelled];
}

test('no token, password or cancel key is in what anybody can read', async () => {
  const bad = badTokens(front.issuer).filter(({ token }) => token.length > 20);
  for (const { name, token } of bad) await refusedLogin(name, keepSecret(name, token));
  const token = keepSecret('a good token', front.address().password);
  await refusedLogin('another user', token, { user: 'somebody' });
  await refusedLogin('an unknown database', token, { database: 'nowhere' });
  await refusedLogin('a database with another password', token, { database: 'wrong' });
  await refusedLogin('a parameter that is not allowed', token, { options: '-c role=writer' });
  await refusedLogin('the token as user', token, { user: token });
  await refusedLogin('the token as database', token, { database: token });

  const client = await front.login('reader', { password: token });
  const statements = [
    'select 1/0',
    'select throw',
    `set postern.token = '${token}'`,
    `set postern.careless = '${token}'`,
    `set postern.unknown = '${token}'`,
    'select * from nowhere',
  ];
  for (const sql of statements) {
    await client.query(sql).catch((error: unknown) => {
      if (!(error instanceof DatabaseError)) throw error;
      hear(`the error of ${sql.slice(0, 24)}`, error);
    });
  }
  const session = await rawLogin();
  const other = await rawLogin();
  await cancelled(session);

  const admin = `http://127.0.0.1:${adminPort}`;
  for (const [path, bearer] of [
    ['/livez', ''],
    ['/readyz?verbose', ''],
    ['/metrics', token],
    ['/v1/sessions', token],
    ['/v1/plugins', token],
    ['/nowhere', token],
    ['/nowhere', bad[0]?.token ?? ''],
    [`/${token}`, token],
  ] as const) {
    const answer = await fetch(admin + path, {
      headers: bearer ? { authorization: `Bearer ${bearer}` } : {},
    });
    hear(`admin ${path.slice(0, 16)}`, JSON.stringify([...answer.headers]) + (await answer.text()));
  }
  const { pid } = front.gateway;
  for (const one of hasProc ? [pid, ...childrenOf(pid)] : [])
    hear('the command line', readFileSync(`/proc/${one}/cmdline`, 'latin1'));
  front.gateway.signal('SIGTERM');
  expect(await front.gateway.ended()).toBe(0);
  hear('what a session was told at the end', (await other.client.rest()).toString('latin1'));
  hear('standard output', front.gateway.log);
  hear('standard error', front.gateway.complaints);
  hear('what the collector was sent', collector.text());
  // Each of several workers has a file of its own.
  const trails = readdirSync(front.gateway.folder).filter((name) => /^audit\..*jsonl$/.test(name));
  expect(trails).toHaveLength(workersOf());
  for (const name of trails) hear('the audit', readFileSync(join(front.gateway.folder, name), 'utf8'));

  expect(front.gateway.lines('token refused').length).toBeGreaterThan(100);
  expect(front.gateway.log).toContain('thrown by a plugin');
  const found = [...secrets].flatMap(([name, secret]) =>
    [...heard]
      .filter(([, text]) => spellings(secret).some((spelling) => text.includes(spelling)))
      .map(([where]) => `${name} in ${where}`),
  );
  expect(found).toEqual([]);
  expect(secrets.size).toBeGreaterThan(200);
});
