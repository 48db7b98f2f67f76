/** Each client of core/client/README.md logs in by each credential, as its table says; and a refused login names the credential that was tried. */
import { createPrivateKey } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates as certificatesPlugin } from '../../plugins/certificates/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { passwords } from '../../plugins/passwords/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { removeBuilt } from '../support/drivers/features/builds.ts';
import { hasLine, lineOf, withRow } from '../support/drivers/features/table.ts';
import { CLIENTS } from '../support/drivers/logins/clients.ts';
import type { LoginClient } from '../support/drivers/logins/clients.ts';
import { HEAD, WAYS, rowOf } from '../support/drivers/logins/ways.ts';
import type { Logins, Try } from '../support/drivers/logins/ways.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { documentAt, table } from '../support/markdown.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';

const PAGE = 'core/client/README.md';
const HEADING = 'Clients';
/** Writes the rows of the clients that are here into the page; format it afterwards. */
const WRITES = process.env['POSTERN_WRITE_DRIVERS'] === '1';
const PASSWORD = 'correct-horse';
const ISSUER = 'https://id.example';

const good = issuer({ algorithms: ['ES256'] });
let files: Certificates;
let folder: string;
let running: RunningGateway;

beforeAll(async () => {
  files = await certificates();
  folder = mkdtempSync(join(tmpdir(), 'postern-logins-'));
  writeFileSync(join(folder, 'userlist.txt'), `"reader" "${PASSWORD}"\n`, { mode: 0o600 });
  const key = createPrivateKey(files.client.key);
  writeFileSync(join(folder, 'client.pk8'), key.export({ type: 'pkcs8', format: 'der' }), { mode: 0o600 });
  chmodSync(files.client.keyFile, 0o600);
  const tls = { cert: files.server.certFile, key: files.server.keyFile, clientCa: files.ca.certFile };
  running = await startGateway({
    listen: CREDENTIALS.map((auth) => ({ name: auth, port: 0, tls, auth })),
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [
      jwt({ issuers: [{ ...good.options, oauth: { scope: 'openid postern' } }] }),
      passwords({ file: join(folder, 'userlist.txt') }),
      certificatesPlugin({ by: 'commonName', allow: [{ name: 'client', claims: { role: 'reader' } }] }),
      roles([
        { issuer: ISSUER, claim: 'role', allow: ['reader'] },
        { issuer: 'password:', claim: 'sub', allow: ['reader'] },
        { issuer: 'certificate:', claim: 'role', allow: ['reader'] },
      ]),
    ],
  });
});
afterAll(async () => {
  await running.gateway.stop();
  files.remove();
  removeBuilt();
  rmSync(folder, { recursive: true, force: true });
});

const CREDENTIALS = [...new Set(WAYS.map(({ credential }) => credential))];
type Credential = (typeof CREDENTIALS)[number];

const portOf = (credential: Credential): number =>
  Number(running.lines('listening').find(({ name }) => name === credential)?.['port']);

/** What a client shows by a way, or by a token that is not good, a wrong password, no certificate. */
function tryOf({ way, credential }: (typeof WAYS)[number], isGood = true): Try {
  const { certFile: cert, keyFile: key } = files.client;
  const places = { ca: files.ca.certFile, cert, key, pk8: join(folder, 'client.pk8'), issuer: ISSUER };
  const there = { way, port: portOf(credential), ...places };
  if (credential === 'scram') return { ...there, user: 'reader', password: isGood ? PASSWORD : 'wrong' };
  if (credential === 'certificate')
    return isGood ? { ...there, user: '_' } : { ...there, way: 'token', user: '_', password: 'none' };
  return { ...there, user: '_', password: good.sign(isGood ? {} : { aud: 'billing' }) };
}

const said = new Map<string, Logins | string>();
const refused = new Map<string, ReadonlySet<unknown>>();

/** Every way with what is good, then those that work with what is not. */
async function runAll({ name, find }: LoginClient): Promise<void> {
  const program = await find();
  if (typeof program === 'string') return void said.set(name, program);
  const logins = await program(WAYS.map((one) => tryOf(one)));
  said.set(name, logins);
  const before = running.lines('login refused').length;
  const works = WAYS.filter(({ way }) => 'role' in (logins.said.get(way) ?? {}));
  await program(works.map((one) => tryOf(one, false)));
  const lines = running.lines('login refused').slice(before);
  refused.set(name, new Set(lines.map(({ credential }) => credential)));
}

describe.each(CLIENTS)('$name', (client) => {
  beforeAll(() => runAll(client), 240_000);

  function loginsOr(skip: (why: string) => never): Logins {
    const found = said.get(client.name) ?? 'its program has failed';
    return typeof found === 'string' ? skip(`skipped: ${found}`) : found;
  }

  test('logs in as the page says', ({ skip }) => {
    const logins = loginsOr(skip);
    const row = rowOf(client.name, logins);
    const line = lineOf(client.name, logins.version, client.note);
    const path = fileURLToPath(new URL(`../../${PAGE}`, import.meta.url));
    if (WRITES) writeFileSync(path, withRow(readFileSync(path, 'utf8'), HEADING, row, line));
    const page = documentAt(PAGE);
    const written = table(page, HEADING).find(([name]) => name === client.name);
    expect(row, JSON.stringify([...logins.said])).toEqual(written);
    expect(hasLine(page.text, line, logins.version), line).toBe(true);
  });

  test('is the role, and no other', ({ skip }) => {
    for (const one of loginsOr(skip).said.values()) if ('role' in one) expect(one.role).toBe('reader');
  });

  test('is told of in the log by the credential that was tried and refused', ({ skip }) => {
    const logins = loginsOr(skip);
    const tried = WAYS.filter(({ way }) => 'role' in (logins.said.get(way) ?? {}));
    expect(refused.get(client.name)).toEqual(new Set(tried.map(({ credential }) => credential)));
  });
});

describe('the page', () => {
  const text = (): string => documentAt(PAGE).text;

  test('has the columns of the ways that are tried, a row for each client, and a part for each credential', () => {
    const head = text()
      .split('\n')
      .find((line) => line.startsWith('| client'));
    expect(
      head
        ?.split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    ).toEqual(HEAD);
    expect(table(documentAt(PAGE), HEADING).map(([name]) => name)).toEqual(CLIENTS.map(({ name }) => name));
    const parts = [...text().matchAll(/^### .*`'(\w+)'`$/gm)].map(([, credential]) => credential);
    expect(parts).toEqual(CREDENTIALS);
  });
});
