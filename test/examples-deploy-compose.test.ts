/** The guide `deploy/compose`: its file by the schema of Compose, and the rest as programs on this machine, for lack of containers. */
import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { parse } from 'yaml';
import { copyExamples, root, start } from './support/example.ts';
import type { RunningExample } from './support/example.ts';
import { freePort } from './support/free-port.ts';
import { prepareCheckout } from './support/gateway-process.ts';
import { startPostgres } from './support/postgres.ts';
import type { OwnPostgres } from './support/postgres.ts';
import { describeWith } from './support/programs.ts';
import { RedisServer } from './support/redis.ts';

const run = promisify(execFile);
const original = join(root, 'examples/deploy/compose');
const examples = copyExamples();
const folder = join(examples.folder, 'deploy/compose');
/** The volume. */
const keys = mkdtempSync(join(tmpdir(), 'postern-keys-'));

interface Service {
  readonly stop_grace_period?: string;
  readonly depends_on?: Readonly<Record<string, unknown>>;
  readonly volumes?: readonly string[];
  readonly read_only?: boolean;
  readonly ports?: readonly string[];
}

const compose = parse(readFileSync(join(original, 'compose.yaml'), 'utf8'), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>;
  readonly volumes: Readonly<Record<string, unknown>>;
};
const services = Object.entries(compose.services);

/** Edits a file of the copy. @throws Error where it has none of the texts */
function edit(name: string, texts: Readonly<Record<string, string>>): void {
  let text = readFileSync(join(folder, name), 'utf8');
  for (const [old, fresh] of Object.entries(texts)) {
    if (!text.includes(old)) throw new Error(`${name} has no ${old}`);
    text = text.replaceAll(old, fresh);
  }
  writeFileSync(join(folder, name), text);
}

function secret(name: string): string {
  return readFileSync(join(keys, 'secrets', name), 'utf8');
}

/** What the services `setup` and `token` run. */
async function inVolume(program: string, ...args: readonly string[]): Promise<string> {
  const env = { ...process.env, POSTERN: root, TOKEN_PROGRAM: join(examples.folder, 'token.js') };
  return (await run(process.execPath, [program, ...args], { cwd: keys, env })).stdout.trim();
}

beforeAll(async () => {
  prepareCheckout();
  await inVolume(join(folder, 'setup.js'));
}, 120_000);
afterAll(() => {
  examples.remove();
  rmSync(keys, { recursive: true, force: true });
});

describe('compose.yaml', () => {
  test('mounts what there is, and waits for services that it has', () => {
    for (const [name, { volumes = [], depends_on: waits = {} }] of services) {
      for (const volume of volumes) {
        const [source = ''] = volume.split(':');
        const there = source.startsWith('.') ? existsSync(join(original, source)) : source in compose.volumes;
        expect([name, volume, there]).toEqual([name, volume, true]);
      }
      expect(Object.keys(waits).filter((other) => !(other in compose.services))).toEqual([]);
    }
  });

  test('waits for gateways longer than they drain', () => {
    const config = readFileSync(join(original, 'gateway.config.ts'), 'utf8');
    const [delay, drain] = ['drainDelay', 'drainTimeout'].map((name) =>
      Number(new RegExp(`${name}: '(\\d+)s'`).exec(config)?.[1]),
    );
    const gateways = services.filter(([name]) => name.startsWith('gateway'));
    expect(gateways.length).toBe(2);
    for (const [, gateway] of gateways)
      expect(gateway).toMatchObject({
        stop_grace_period: `${(delay ?? 0) + (drain ?? 0) + 10}s`,
        read_only: true,
        cap_drop: ['ALL'],
      });
  });

  test('has gateways that keep nothing in files, and share nothing that either could write', () => {
    const gateways = services.filter(([name]) => name.startsWith('gateway'));
    const writable = gateways.flatMap(([, { volumes = [] }]) =>
      volumes.filter((one) => !one.endsWith(':ro')),
    );
    expect(writable).toEqual([]);
    // What these plugins keep in files is of one gateway: in a fleet it goes by the store, or into a volume of each.
    const config = readFileSync(join(original, 'gateway.config.ts'), 'utf8');
    for (const plugin of ['access', 'audit']) expect(config).not.toContain(`postern/plugins/${plugin}`);
  });

  test('publishes ports on this machine only', () => {
    const published = services.flatMap(([, { ports = [] }]) => ports);
    expect(published.length).toBe(3);
    expect(published.filter((port) => !port.startsWith('127.0.0.1:'))).toEqual([]);
  });

  describeWith('check-jsonschema', (check) => {
    test('is what the specification of Compose has a schema for', () => {
      const args = ['--builtin-schema', 'vendor.compose-spec', join(original, 'compose.yaml')];
      const { status, stdout, stderr } = spawnSync(check, args, { encoding: 'utf8' });
      expect({ status, said: stdout + stderr }).toMatchObject({ status: 0 });
    });
  });

  describe.runIf(spawnSync('docker', ['compose', 'version']).status === 0)('with docker compose', () => {
    test('is a project', () => {
      const { status, stderr } = spawnSync('docker', ['compose', 'config', '--quiet'], {
        cwd: original,
        encoding: 'utf8',
      });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    });
  });
});

test('setup leaves what is there', async () => {
  const files = ['ca.crt', 'gateway/server.key', 'postgres/server.crt', 'secrets/fleet', 'jwks.json'];
  const read = (): readonly string[] => files.map((name) => readFileSync(join(keys, name), 'utf8'));
  const before = read();
  await inVolume(join(folder, 'setup.js'));
  expect(read()).toEqual(before);
});

describeWith('psql', (psql) => {
  let primary: OwnPostgres;
  beforeAll(async () => {
    const [cert, key] = ['crt', 'key'].map((kind) =>
      readFileSync(join(keys, `postgres/server.${kind}`), 'utf8'),
    );
    primary = await startPostgres({ ssl: { cert: cert ?? '', key: key ?? '' } });
    // What the embedded server came with.
    for (const role of ['reader', 'writer']) await primary.sql(`drop owned by ${role}; drop role ${role}`);
    edit('primary.sql', { '/keys/': `${keys}/` });
    const env = {
      ...process.env,
      PGDATA: join(primary.socketDir, 'data'),
      PGPASSWORD: primary.password,
    };
    const url = `postgres://postgres@127.0.0.1:${primary.port}/postgres`;
    await run(psql, ['-v', 'ON_ERROR_STOP=1', '--no-psqlrc', '-f', join(folder, 'primary.sql'), url], {
      env,
    });
    await primary.sql('select pg_reload_conf()');
  }, 120_000);
  afterAll(() => primary.stop());

  describeWith('pg_basebackup', (baseBackup) => {
    test('the replica is a copy of the primary, made once', async ({ skip }) => {
      const version = Number(/\d+/.exec((await run(baseBackup, ['--version'])).stdout)?.[0]);
      if (version < primary.version)
        skip(`pg_basebackup ${version} copies no server of version ${primary.version}`);
      const data = `${keys}-replica`;
      const bin = join(keys, 'bin');
      mkdirSync(bin, { recursive: true });
      // In the place of the image's.
      writeFileSync(join(bin, 'docker-entrypoint.sh'), '#!/bin/sh\necho "$@"\n');
      chmodSync(join(bin, 'docker-entrypoint.sh'), 0o755);
      edit('replica.sh', {
        '/keys/': `${keys}/`,
        'host=primary ': `host=primary hostaddr=127.0.0.1 port=${primary.port} `,
      });
      const env = { ...process.env, PGDATA: data, PATH: `${bin}:${process.env['PATH']}` };
      const follow = (): Promise<{ stdout: string }> =>
        run('bash', [join(folder, 'replica.sh'), 'postgres', '--ssl=on'], { env });
      try {
        expect((await follow()).stdout).toBe('postgres --ssl=on\n');
        expect(existsSync(join(data, 'standby.signal'))).toBe(true);
        expect(readFileSync(join(data, 'postgresql.auto.conf'), 'utf8')).toContain('user=replicator');
        writeFileSync(join(data, 'kept'), '');
        await follow();
        expect(existsSync(join(data, 'kept'))).toBe(true);
      } finally {
        rmSync(data, { recursive: true, force: true });
      }
    });
  });

  describeWith('redis-server', (redisServer) => {
    describeWith('haproxy', (haproxy) => {
      let store: RedisServer;
      let gateways: readonly (RunningExample & { readonly admin: number })[];
      let proxy: ChildProcess;
      let proxyEnded: Promise<unknown>;
      let port: number;

      const gateway = async (instance: string): Promise<RunningExample & { readonly admin: number }> => {
        const admin = await freePort();
        const env = { KEYS: keys, STORE: store.url, HOSTNAME: instance, PORT: 0, ADMIN_PORT: admin };
        const running = await start('npx postern start', folder, { ...env, PROXIES: '127.0.0.0/8' });
        return { ...running, admin };
      };

      beforeAll(async () => {
        store = await RedisServer.start(redisServer, { password: secret('valkey') });
        edit('gateway.config.ts', {
          "host: ['primary', 'replica']": `host: '127.0.0.1', port: ${primary.port}`,
          'tls: { ca': "tls: { mode: 'verify-full', servername: 'primary', ca",
        });
        gateways = await Promise.all([gateway('gateway-1'), gateway('gateway-2')]);
        port = await freePort();
        const at = gateways.map(({ ports, admin }) => `127.0.0.1:${ports['default']} port ${admin}`);
        edit('haproxy/haproxy.cfg', {
          'bind :6432': `bind 127.0.0.1:${port}`,
          'gateway-1:6432': at[0] ?? '',
          'gateway-2:6432': at[1] ?? '',
        });
        proxy = spawn(haproxy, ['-f', join(folder, 'haproxy/haproxy.cfg')], { stdio: 'ignore' });
        proxyEnded = once(proxy, 'close');
        await vi.waitUntil(async () => (await visit().catch(String)) === 'reader', { timeout: 20_000 });
      }, 120_000);
      afterAll(async () => {
        proxy.kill('SIGTERM');
        await proxyEnded;
        await Promise.all(gateways.map((one) => one.stop()));
        await store.stop();
      }, 60_000);

      const clientFor = async (claims = '{}', database = 'orders'): Promise<Client> => {
        const password = await inVolume(join(examples.folder, 'token.js'), claims);
        const ssl = { ca: readFileSync(join(keys, 'ca.crt'), 'utf8'), servername: 'localhost' };
        const client = new Client({ host: '127.0.0.1', port, user: '_', database, password, ssl });
        client.on('error', () => undefined);
        await client.connect();
        return client;
      };
      const visit = async (claims?: string, database?: string): Promise<unknown> => {
        const client = await clientFor(claims, database);
        const { rows } = await client.query<{ me: string }>(
          'select current_user::text as me from orders limit 1',
        );
        await client.end();
        return rows[0]?.me;
      };
      const logins = (one: RunningExample): readonly string[] =>
        one
          .output()
          .split('\n')
          .filter((line) => line.includes('"msg":"login"'));

      test('clients come to both gateways by HAProxy, each with its address', async () => {
        expect(await visit('{"role":"writer"}')).toBe('writer');
        expect(await visit('{}', 'orders-read')).toBe('reader');
        const clients: Client[] = [];
        // One after the other: each token writes the key set anew.
        for (const sub of ['a', 'b', 'c', 'd']) clients.push(await clientFor(JSON.stringify({ sub })));
        for (const client of clients) await client.end();
        for (const one of gateways) {
          expect(logins(one).length).toBeGreaterThan(0);
          expect(logins(one).filter((line) => !line.includes('"address":"127.0.0.1"'))).toEqual([]);
        }
      });

      test('a limit counts the sessions of both', async () => {
        const clients: Client[] = [];
        for (let n = 0; n < 10; n += 1) clients.push(await clientFor('{"sub":"grace"}'));
        await expect(clientFor('{"sub":"grace"}')).rejects.toMatchObject({ code: '53300' });
        for (const client of clients) await client.end();
        for (const one of gateways)
          expect(logins(one).filter((line) => line.includes('grace')).length).toBeGreaterThan(0);
      });

      test('when one gateway ends, no client is refused', async () => {
        const ended = gateways[0]?.stop();
        const isOpen = (): Promise<boolean> =>
          Promise.race([ended?.then(() => false) ?? Promise.resolve(false), sleep(0, true)]);
        const seen = new Set<unknown>();
        while (await isOpen()) seen.add(await visit().catch(String));
        expect([...seen]).toEqual(['reader']);
        expect(await ended).toBe(0);
      });
    });
  });
});
