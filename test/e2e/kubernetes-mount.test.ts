/** Config and secrets in folders as Kubernetes mounts them: what is changed there is in force without a restart. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificate, Certificates } from '../support/certificates.ts';
import { root } from '../support/example.ts';
import { GatewayProcess, prepareCheckout } from '../support/gateway-process.ts';
import { KubernetesMount } from '../support/kubernetes-mount.ts';
import { workersOf } from '../support/only-one-worker.ts';
import { sharedPostgres } from '../support/postgres.ts';
import type { Postgres } from '../support/postgres.ts';
import { RawClient } from '../support/raw-client.ts';
import { issuer } from '../support/token.ts';

/** Of all workers. */
const BOOT = { timeout: 60_000 };
const good = issuer({ algorithms: ['ES256'] });
let postgres: Postgres;
let made: Certificates;
let config: KubernetesMount;
let passwords: KubernetesMount;
let tls: KubernetesMount;
let gateway: GatewayProcess;

/** The names of databases, in a module of their own beside the config. */
const namesModule = (...names: readonly string[]): string =>
  `export const names = ${JSON.stringify(names)};\n`;

function configText(): string {
  return `import { defineConfig, file } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
import { names } from './names.ts';
const login = { kind: 'password', passwords: { reader: file('${passwords.file('reader')}') } };
const server = { host: '127.0.0.1', port: ${postgres.port}, database: 'postgres', login };
export default defineConfig({
  listen: { port: 0, tls: { cert: '${tls.file('tls.crt')}', key: '${tls.file('tls.key')}' } },
  databases: Object.fromEntries(names.map((name) => [name, server])),
  plugins: [
    jwt({ issuers: [{ issuer: '${good.issuer}', audience: '${good.audience}', jwks: 'jwks.json' }] }),
    roles({ claim: 'role', allow: ['reader'] }),
  ],
  workers: ${workersOf()},
});
`;
}

function replaceConfig(names: string): void {
  config.replace({
    'gateway.config.ts': configText(),
    'names.ts': names,
    'jwks.json': JSON.stringify(good.jwks),
  });
}

const pair = ({ cert, key }: Certificate): Readonly<Record<string, string>> => ({
  'tls.crt': cert,
  'tls.key': key,
});

/** The role as which a client of a database is logged in. */
async function roleAt(database: string): Promise<unknown> {
  const password = good.sign({ role: 'reader' });
  const client = new Client({ host: '127.0.0.1', port: gateway.port, database, user: '_', password });
  await client.connect();
  const { rows } = await client.query<{ me: string }>('select current_user::text as me');
  await client.end();
  return rows[0]?.me;
}

async function certificateShown(): Promise<string> {
  const client = await (await RawClient.connect(gateway.port)).startTls();
  const shown = (client.socket as TLSSocket).getPeerCertificate().fingerprint256;
  client.socket.destroy();
  return shown;
}

beforeAll(async () => {
  prepareCheckout();
  postgres = sharedPostgres();
  made = await certificates();
  passwords = new KubernetesMount({ reader: `${postgres.passwords.reader}\n` });
  tls = new KubernetesMount(pair(made.server));
  config = new KubernetesMount({});
  replaceConfig(namesModule('orders'));
  const command = [process.execPath, join(root, 'core/cli/postern.js'), 'start', '--config'] as const;
  gateway = await GatewayProcess.start({
    config: '',
    command: [...command, config.file('gateway.config.ts')],
  });
  const workers = workersOf();
  // One that is still beginning reads files that the test has changed already.
  if (workers > 1) await vi.waitUntil(() => gateway.lines('worker ready').length === workers, BOOT);
}, 120_000);
afterAll(async () => {
  await gateway.remove();
  for (const mount of [config, passwords, tls]) mount.remove();
  made.remove();
});

test('a ConfigMap that is changed is reloaded, with the modules beside the config, as often as it is changed', async () => {
  expect(await roleAt('orders')).toBe('reader');
  replaceConfig(namesModule('orders', 'sales'));
  expect(await gateway.linesWhen('reloaded', 1)).toMatchObject([{ databases: { added: ['sales'] } }]);
  expect(await roleAt('sales')).toBe('reader');
  replaceConfig(namesModule('orders', 'stock'));
  expect((await gateway.linesWhen('reloaded', 2)).at(-1)).toMatchObject({
    databases: { added: ['stock'], removed: ['sales'] },
  });
});

test('one with a mistake changes nothing, and the next one without it does', async () => {
  replaceConfig('export const names = [5');
  await gateway.linesWhen('reload failed', 1);
  expect(await roleAt('stock')).toBe('reader');
  replaceConfig(namesModule('orders'));
  await gateway.linesWhen('reloaded', 3);
  await expect(roleAt('stock')).rejects.toMatchObject({ code: '3D000' });
});

test('a password in a Secret is the one of the next login to the server', async () => {
  passwords.replace({ reader: 'no longer right' });
  replaceConfig(namesModule('fresh'));
  await gateway.linesWhen('reloaded', 4);
  await expect(roleAt('fresh')).rejects.toMatchObject({
    code: '08004',
  });
  passwords.replace({ reader: postgres.passwords.reader });
  await expect.poll(() => roleAt('fresh').catch(String)).toBe('reader');
});

test('a certificate in a Secret is shown to the next client', async () => {
  const fingerprint = ({ certFile }: Certificate): string =>
    new X509Certificate(readFileSync(certFile)).fingerprint256;
  expect(await certificateShown()).toBe(fingerprint(made.server));
  tls.replace(pair(made.other));
  await expect.poll(certificateShown).toBe(fingerprint(made.other));
});
