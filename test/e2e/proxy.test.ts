/** A gateway that reaches the world through a proxy only: keys, audit lines, spans and metrics, as the environment says. */
import { once } from 'node:events';
import { createServer as createPlain } from 'node:http';
import type { RequestListener, Server } from 'node:http';
import { createServer as createSecure } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { GatewayProcess, prepareCheckout } from '../support/gateway-process.ts';
import { httpProxy } from '../support/http-proxy.ts';
import type { HttpProxy } from '../support/http-proxy.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { issuer } from '../support/token.ts';

const CREDENTIALS = 'ada:canary-password';
const tokens = issuer({ algorithms: ['ES256'] });

let made: Certificates;
beforeAll(async () => {
  prepareCheckout();
  made = await certificates();
}, 120_000);
afterAll(() => {
  made.remove();
});

/** A server of the outside: keys, and a collector that takes everything. */
interface Outside {
  readonly port: number;
  /** Method and path of each request. */
  readonly requests: readonly string[];
  /** Every header that came. */
  readonly heard: () => string;
}

async function environment(secure: boolean): Promise<Outside> {
  const requests: string[] = [];
  const heard: string[] = [];
  const answer: RequestListener = (request, response) => {
    request.resume().once('end', () => {
      requests.push(`${request.method} ${request.url}`);
      heard.push(JSON.stringify(request.headers));
      response.end(request.url === '/jwks.json' ? JSON.stringify(tokens.jwks) : '{}');
    });
  };
  const server: Server = secure ? createSecure(made.other, answer) : createPlain(answer);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { port: (server.address() as AddressInfo).port, requests, heard: () => heard.join('\n') };
}

async function proxyTo({ port: to }: Outside, secure = false): Promise<HttpProxy> {
  const proxy = await httpProxy({ to, credentials: CREDENTIALS, ...(secure && { tls: made.server }) });
  onTestFinished(() => proxy.stop());
  return proxy;
}

function config(collector: string): string {
  const { port, passwords } = sharedPostgres();
  return `import { defineConfig } from 'postern';
import { audit } from 'postern/plugins/audit';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
import { tracing } from 'postern/plugins/tracing';
const login = { kind: 'password', passwords: ${JSON.stringify(passwords)} } as const;
export default defineConfig({
  listen: { port: 0 },
  databases: { orders: { host: '127.0.0.1', port: ${port}, database: 'postgres', login } },
  plugins: [
    audit({ sink: { otlp: '${collector}/v1/logs' } }),
    tracing({
      traces: { endpoint: '${collector}' },
      metrics: { otlp: { endpoint: '${collector}', interval: '1s' } },
    }),
    jwt({ issuers: [{ issuer: '${tokens.issuer}', audience: 'postern', jwks: 'https://other.example/jwks.json', ca: '${made.ca.certFile}' }] }),
    roles({ claim: 'role', allow: ['reader'] }),
  ],
});
`;
}

async function start(collector: string, env: Readonly<Record<string, string>>): Promise<GatewayProcess> {
  const gateway = await GatewayProcess.start({
    config: config(collector),
    // Whatever the libraries say of themselves must not have the password either.
    env: {
      NODE_EXTRA_CA_CERTS: made.ca.certFile,
      DEBUG: 'http-proxy-agent,https-proxy-agent,agent-base',
      ...env,
    },
  });
  onTestFinished(() => gateway.remove());
  return gateway;
}

async function visit({ port }: GatewayProcess): Promise<unknown> {
  const client = new Client({
    host: '127.0.0.1',
    port,
    user: '_',
    database: 'orders',
    password: tokens.sign(),
  });
  client.on('error', () => {});
  await client.connect();
  const { rows } = await client.query('select current_user as role');
  await client.end();
  return rows;
}

async function stopped(gateway: GatewayProcess): Promise<void> {
  gateway.signal('SIGTERM');
  expect(await gateway.ended()).toBe(0);
  expect(gateway.log + gateway.complaints).not.toMatch(/canary|YWRhOmNhbmFy/);
}

const SIGNALS = ['POST /v1/logs', 'POST /v1/metrics', 'POST /v1/traces'];

test.each([false, true])(
  'keys and a collector with https are reached by tunnels, through a proxy with TLS: %s',
  async (secure) => {
    const world = await environment(true);
    const proxy = await proxyTo(world, secure);
    const HTTPS_PROXY = `${secure ? 'https' : 'http'}://${CREDENTIALS}@127.0.0.1:${proxy.port}`;
    const gateway = await start('https://other.example', { HTTPS_PROXY });
    expect(await visit(gateway)).toEqual([{ role: 'reader' }]);
    await expect.poll(() => [...new Set(world.requests)].toSorted()).toEqual(['GET /jwks.json', ...SIGNALS]);
    await stopped(gateway);
    expect(new Set(proxy.requests)).toEqual(new Set(['CONNECT other.example:443']));
    // What is for the proxy goes no further.
    expect(world.heard()).not.toMatch(/proxy-authorization/i);
  },
);

test('a collector with http is reached by requests that the proxy forwards, and NO_PROXY is heeded by all', async () => {
  const world = await environment(false);
  const keys = await environment(true);
  const [plain, tunnel] = [await proxyTo(world), await proxyTo(keys)];
  const env = {
    http_proxy: `http://${CREDENTIALS}@127.0.0.1:${plain.port}`,
    https_proxy: `http://${CREDENTIALS}@127.0.0.1:${tunnel.port}`,
  };
  const gateway = await start('http://collector.example:4318', env);
  expect(await visit(gateway)).toEqual([{ role: 'reader' }]);
  await expect.poll(() => [...new Set(world.requests)].toSorted()).toEqual(SIGNALS);
  await stopped(gateway);
  expect(new Set(plain.requests)).toEqual(
    new Set(SIGNALS.map((signal) => signal.replace(' ', ' http://collector.example:4318'))),
  );

  const [before, direct] = [plain.requests.length, await environment(false)];
  const near = await start(`http://127.0.0.1:${direct.port}`, { ...env, no_proxy: '127.0.0.0/8' });
  expect(await visit(near)).toEqual([{ role: 'reader' }]);
  await expect.poll(() => [...new Set(direct.requests)].toSorted()).toEqual(SIGNALS);
  await stopped(near);
  expect(plain.requests).toHaveLength(before);
});

test.each([
  ['HTTPS_PROXY', 'https://other.example'],
  ['HTTP_PROXY', 'http://collector.example:4318'],
])('a %s that is none stops the boot, and its value is not repeated', async (name, collector) => {
  const started = start(collector, { [name]: 'http://ada:canary@nowhere at all' });
  await expect(started).rejects.toThrow(new RegExp(`environment variable ${name}: (?!.*canary)`));
});
