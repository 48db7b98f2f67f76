/** What checkConfig fills in, and the sentence for each mistake. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { env, only } from '../../core/contract/config.ts';
import { checkConfig } from '../../core/config/check.ts';
import { milliseconds, rate } from '../../core/contract/durations.ts';
import { ConfigError } from '../../core/contract/errors.ts';
import { POOL_DEFAULTS } from '../../core/upstream/pool/limits.ts';
import { certificates } from '../support/certificates.ts';

const DIRECTORY = '/etc/postern';
const trust = { kind: 'trust' };
const orders = { host: 'orders-db', login: { kind: 'password', passwords: { reader: 'hunter2' } } };
const valid = { databases: { orders }, plugins: [] };

/** The config with one database entry changed. */
const withDatabase = (entry: object): object => ({
  ...valid,
  databases: { orders: { ...orders, ...entry } },
});

/** The lines of the error for a config. */
function wrong(config: unknown): readonly string[] {
  try {
    checkConfig(config, DIRECTORY);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message.split('\n');
  }
  return ['nothing is wrong'];
}

describe('defaults', () => {
  test('a config of databases and plugins is complete', () => {
    expect(checkConfig(valid, DIRECTORY)).toMatchObject({
      directory: DIRECTORY,
      listeners: [
        {
          name: 'default',
          host: '127.0.0.1',
          port: 6432,
          tls: undefined,
          plaintext: 'loopback',
          auth: 'password',
        },
      ],
      databaseNames: ['orders'],
      admin: undefined,
      plugins: [],
      loginTimeoutMs: 10_000,
      drainDelayMs: 0,
      drainTimeoutMs: 30_000,
      maxStatementBytes: 1_048_576,
      logLevel: 'info',
    });
  });

  test('a database entry is completed', async () => {
    expect(await checkConfig(valid, DIRECTORY).database('orders')).toEqual({
      ...orders,
      port: 5432,
      target: 'any',
      database: 'orders',
      tls: { mode: 'verify-full' },
      maxProtocolVersion: '3.0',
      pool: POOL_DEFAULTS,
      startup: { ignore: [], refuse: [], default: {} },
      replication: false,
      privilegedRoles: [],
    });
  });

  test.each([
    ['/run/postgresql', 'disable'],
    ['127.8.9.1', 'disable'],
    ['::1', 'disable'],
    ['LOCALHOST', 'disable'],
    ['127.example.com', 'verify-full'],
    ['10.0.0.1', 'verify-full'],
    ['localhost.example.com', 'verify-full'],
  ])('without tls, %s is connected to with %s', async (host, mode) => {
    const entry = await checkConfig(withDatabase({ host }), DIRECTORY).database('orders');
    expect(entry?.tls).toEqual({ mode });
  });

  test.each([
    [['a', 'b'], 'verify-full'],
    [['127.0.0.1', { host: '127.0.0.1', port: 5433 }, '/run/postgresql'], 'disable'],
  ])('of a list of hosts sessions get the primary: %o', async (host, mode) => {
    const entry = await checkConfig(withDatabase({ host }), DIRECTORY).database('orders');
    expect(entry).toMatchObject({ host, target: 'primary', tls: { mode } });
  });

  test.each([
    [[], 'databases.orders.host: at least one host is needed'],
    [
      ['a', 5],
      'databases.orders.host[1]: expected a host name, an address, or the folder of a unix socket, got 5',
    ],
    [
      ['a', { host: 'b:5432' }],
      "databases.orders.host[1].host: write host: 'b', port: 5432 instead of 'b:5432'",
    ],
    [['a', { host: 'b', part: 1 }], "databases.orders.host[1]: unknown key 'part'"],
    [['a', 'b', { host: 'a', port: 5432 }], 'databases.orders.host[2]: a port 5432 comes twice'],
    [
      ['127.0.0.1', 'b'],
      'databases.orders.tls.mode: some hosts are this machine and some are not: say which mode is for all',
    ],
  ])('a list of hosts that cannot be meant is told so: %o', (host, sentence) => {
    expect(() => checkConfig(withDatabase({ host }), DIRECTORY)).toThrow(sentence);
  });

  test('tls without a mode verifies everything, even on loopback', async () => {
    const config = withDatabase({ host: '127.0.0.1', tls: { servername: 'db.example' } });
    const entry = await checkConfig(config, DIRECTORY).database('orders');
    expect(entry?.tls).toEqual({ mode: 'verify-full', servername: 'db.example' });
  });

  test('options that are undefined count as absent', () => {
    expect(checkConfig({ ...valid, listen: { port: undefined }, admin: undefined }, DIRECTORY)).toMatchObject(
      {
        listeners: [{ port: 6432 }],
        admin: undefined,
      },
    );
  });

  test('admin listens on loopback, port 9432', () => {
    expect(checkConfig({ ...valid, admin: {} }, DIRECTORY).admin).toEqual({ host: '127.0.0.1', port: 9432 });
  });

  test('plugins that are false, null or undefined are left out', () => {
    const plugins = [false, { name: 'a' }, null, undefined];
    expect(checkConfig({ ...valid, plugins }, DIRECTORY).plugins.map(({ name }) => name)).toEqual(['a']);
  });
});

describe('finding a database', () => {
  const many = checkConfig(
    {
      ...valid,
      databases: { orders, '*': { ...orders, host: 'rest-db' }, fixed: { ...orders, database: 'x' } },
    },
    DIRECTORY,
  );

  test('an exact name beats the star, which keeps the name of the client', async () => {
    expect(await many.database('orders')).toMatchObject({ host: 'orders-db', database: 'orders' });
    expect(await many.database('other')).toMatchObject({ host: 'rest-db', database: 'other' });
    expect(await many.database('fixed')).toMatchObject({ database: 'x' });
    // A thousand names are remembered, so that each login of one finds the same entry; none gets another's.
    expect(await many.database('other')).toBe(await many.database('other'));
    for (let i = 0; i < 1_100; i += 1) await many.database(`other_${i}`);
    expect(await many.database('other')).toMatchObject({ host: 'rest-db', database: 'other' });
    expect(await many.database('other_7')).toMatchObject({ database: 'other_7' });
    expect(many.databaseNames).toEqual(['orders', '*', 'fixed']);
  });

  test.each(['__proto__', 'constructor', 'toString', 'hasOwnProperty', '*', ''])(
    'a client that names %j finds nothing',
    async (name) => {
      expect(await checkConfig(valid, DIRECTORY).database(name)).toBeUndefined();
    },
  );

  test.each<[string, Record<string, unknown>, string | undefined]>([
    [
      'the only entry that lets it pass',
      { orders: { ...orders, replication: true }, other: orders },
      'orders',
    ],
    ['none of two', { a: { ...orders, replication: true }, b: { ...orders, replication: true } }, undefined],
    ['none where none lets it pass', { orders }, undefined],
    [
      'the one of this name itself',
      { orders: { ...orders, replication: true }, replication: orders },
      undefined,
    ],
    ['none that is for every name', { '*': { ...orders, replication: true } }, undefined],
    [
      'none besides one that is for every name and serves this one',
      { orders: { ...orders, replication: true }, '*': { ...orders, replication: true } },
      undefined,
    ],
    [
      'the only one besides one that is for every name and lets none pass',
      { orders: { ...orders, replication: true }, '*': orders },
      'orders',
    ],
  ])('physical replication under the name "replication" gets %s', (_, databases, found) => {
    expect(checkConfig({ ...valid, databases }, DIRECTORY).replicationEntry).toBe(found);
  });

  test('a function is asked each time, and its answers are checked and completed', async () => {
    const answers = new Map<string, unknown>([
      ['good', orders],
      ['bad', { ...orders, prot: 1 }],
    ]);
    const config = checkConfig({ ...valid, databases: async (name: string) => answers.get(name) }, DIRECTORY);
    expect(await config.database('good')).toMatchObject({ port: 5432, database: 'good' });
    expect(await config.database('none')).toBeUndefined();
    await expect(config.database('bad')).rejects.toThrow(
      "databases.bad: unknown key 'prot'; did you mean 'port'?",
    );
    expect(config.databaseNames).toEqual([]);
  });
});

describe('mistakes', () => {
  test.each<[string, unknown, string]>([
    [
      'a port out of range',
      { ...valid, listen: { port: 65_536 } },
      'listen.port: expected a whole number from 0 to 65535, got 65536',
    ],
    [
      'a port as text',
      { ...valid, listen: { port: '6432' } },
      "listen.port: expected a whole number from 0 to 65535, got '6432'; text becomes a number by Number(…)",
    ],
    [
      'a port that is not a number',
      { ...valid, listen: { port: Number.NaN } },
      'listen.port: expected a whole number from 0 to 65535, got NaN',
    ],
    [
      'a misspelt key',
      { ...valid, listen: { plaintex: 'never' } },
      "listen: unknown key 'plaintex'; did you mean 'plaintext'?",
    ],
    ['a misspelt key at the top', { ...valid, plugin: [] }, "unknown key 'plugin'; did you mean 'plugins'?"],
    [
      'a key like nothing',
      withDatabase({ pool: { zzz: 1 } }),
      "databases.orders.pool: unknown key 'zzz'; known: mode, clientMode, mostSessions, size, perRole, min, reserve, reserveAfter, connecting, connectRate, share, reset, detect, unknownSettings, queueTimeout, idleTimeout, maxLifetime, reparseAfter",
    ],
    [
      'a misspelt word',
      { ...valid, listen: { plaintext: 'loopbak' } },
      "listen.plaintext: expected 'never' or 'loopback', got 'loopbak'; did you mean 'loopback'?",
    ],
    [
      'a listener in a list',
      { ...valid, listen: [{}, { name: 'b', port: -1 }] },
      'listen[1].port: expected a whole number from 0 to 65535, got -1',
    ],
    ['no listener', { ...valid, listen: [] }, 'listen: at least one listener is needed'],
    [
      'two listeners of one name',
      { ...valid, listen: [{ port: 1 }, { port: 2 }] },
      "listen[1].name: 'default' is taken; give each listener a name of its own",
    ],
    [
      'two listeners on one port',
      { ...valid, listen: [{ name: 'a' }, { name: 'b' }] },
      "listen[1].port: listener 'a' has 127.0.0.1 port 6432 already",
    ],
    [
      'admin on the port of a listener',
      { ...valid, admin: { port: 6432 } },
      "admin.port: listener 'default' has 127.0.0.1 port 6432 already",
    ],
    [
      'nobody gets in',
      { ...valid, listen: { plaintext: 'never' } },
      "listen.plaintext: 'never' without tls lets nobody in",
    ],
    ['no databases', { plugins: [] }, 'databases: missing: expected an object'],
    ['no plugins', { databases: {} }, 'plugins: missing: expected a list of plugins'],
    [
      'a plugin instead of a list',
      { ...valid, plugins: { name: 'x' } },
      'plugins: expected a list of plugins, got an object',
    ],
    [
      'no host',
      { ...valid, databases: { x: { login: trust } } },
      'databases.x.host: missing: expected a host name, an address, or the folder of a unix socket',
    ],
    [
      'a port in the host',
      withDatabase({ host: 'db:5433' }),
      "databases.orders.host: write host: 'db', port: 5433 instead of 'db:5433'",
    ],
    [
      'a pool without room',
      withDatabase({ pool: { size: 0 } }),
      'databases.orders.pool.size: expected a whole number from 1 to 10000, got 0',
    ],
    [
      'an odd key',
      { ...valid, databases: { 'my-db': { ...orders, port: true } } },
      "databases['my-db'].port: expected a whole number from 1 to 65535, got true",
    ],
    [
      'no login',
      { ...valid, databases: { x: { host: 'h' } } },
      "databases.x.login: missing: expected an object such as { kind: 'password', passwords: … }",
    ],
    [
      'a misspelt kind',
      withDatabase({ login: { kind: 'pasword', passwords: {} } }),
      "databases.orders.login.kind: expected 'password', 'certificate', 'trust' or 'set-role', got 'pasword'; did you mean 'password'?",
    ],
    [
      'passwords of trust',
      withDatabase({ login: { kind: 'trust', passwords: {} } }),
      "databases.orders.login: unknown key 'passwords'; known: kind",
    ],
    [
      'no passwords',
      withDatabase({ login: { kind: 'password' } }),
      'databases.orders.login.passwords: missing: expected an object',
    ],
    [
      'a ca that is not used',
      withDatabase({ tls: { mode: 'require', ca: 'x' } }),
      "databases.orders.tls.ca: mode 'require' verifies nothing; say 'verify-full' or 'verify-ca'",
    ],
    [
      'tls on a unix socket',
      withDatabase({ host: '/run', tls: {} }),
      "databases.orders.tls.mode: a unix socket has no TLS; leave tls out or say 'disable'",
    ],
    [
      'a database name nobody can ask for',
      { ...valid, databases: { ['é'.repeat(32)]: { ...orders } } },
      `databases['${'é'.repeat(32)}']: '${'é'.repeat(32)}' is not a valid database name: 1 to 63 bytes of UTF-8 without control characters, and not *`,
    ],
    [
      'a bare number',
      { ...valid, loginTimeout: 10 },
      "loginTimeout: expected a duration with its unit such as '10s', got 10",
    ],
    [
      'an unknown unit',
      { ...valid, loginTimeout: '10 sec' },
      "loginTimeout: expected a duration such as '10s' (units: ms, s, m or min, h, d), got '10 sec'",
    ],
    [
      'no time to log in',
      { ...valid, loginTimeout: '0s' },
      "loginTimeout: expected a duration from 1 ms to 24 days, got '0s'",
    ],
    [
      'longer than timers wait',
      { ...valid, drainTimeout: '25d' },
      "drainTimeout: expected a duration from 0 ms to 24 days, got '25d'",
    ],
    [
      'an unknown level',
      { ...valid, logLevel: 'warning' },
      "logLevel: expected 'debug', 'info', 'warn', 'error' or 'silent', got 'warning'",
    ],
    [
      'an operator without a value',
      { ...valid, admin: { operators: { claim: 'groups' } } },
      'admin.operators.value: missing: expected a value of that claim',
    ],
  ])('%s', (_, config, sentence) => {
    expect(wrong(config)).toEqual([sentence]);
  });

  test.each<[unknown, string]>([
    [{}, 'listen.proxyProtocol.trusted: missing: expected a list of networks'],
    [
      { trusted: '10.0.0.0/8' },
      "listen.proxyProtocol.trusted: expected a list of networks, got '10.0.0.0/8'",
    ],
    [
      { trusted: [] },
      'listen.proxyProtocol.trusted: at least one proxy is needed; leave proxyProtocol out where there is none',
    ],
    [
      { trusted: ['10.0.0.0/8', 'lb.internal'] },
      "listen.proxyProtocol.trusted[1]: 'lb.internal' is no network in CIDR notation such as '10.0.0.0/8'",
    ],
    [
      { trusted: ['10.1.2.3/8'] },
      "listen.proxyProtocol.trusted[0]: '10.1.2.3/8' has bits set to the right of its mask: say '10.0.0.0/8' or '10.1.2.3'",
    ],
    [{ trusted: [7] }, "listen.proxyProtocol.trusted[0]: expected a network such as '10.0.0.0/8', got 7"],
    [{ trusted: ['::1'], version: 2 }, "listen.proxyProtocol: unknown key 'version'; known: trusted"],
  ])('a list of proxies that is wrong names the place: %j', (proxyProtocol, sentence) => {
    expect(wrong({ ...valid, listen: { proxyProtocol } })).toEqual([sentence]);
  });

  test.each<[unknown, string]>([
    [{ ignore: 'geqo' }, "ignore: expected a list of parameters, got 'geqo'"],
    [
      { ignore: ['geqo', 'Role'] },
      "ignore[1]: expected the name of a parameter that clients may send, got 'Role'",
    ],
    [{ refuse: ['user'] }, "refuse[0]: expected the name of a parameter that clients may send, got 'user'"],
    [{ refuse: ['a b'] }, "refuse[0]: expected the name of a parameter that clients may send, got 'a b'"],
    [{ ignore: ['geqo', 'jit', 'GEQO'] }, "ignore[2]: 'GEQO' comes twice"],
    [{ ignore: ['timezone'], refuse: ['TimeZone'] }, "refuse: 'TimeZone' is in ignore as well"],
    [{ default: { jit: true } }, 'default.jit: expected text, got true'],
    [
      { default: { session_authorization: 'x' } },
      'default.session_authorization: no client may send this parameter',
    ],
    [{ default: { 'a b': 'x' } }, "default['a b']: no client may send this parameter"],
    [{ default: { timezone: 'UTC', TimeZone: 'UTC' } }, "default.TimeZone: 'TimeZone' has a value already"],
    [{ pin: {} }, "unknown key 'pin'; known: ignore, refuse, default"],
  ])('rules for startup parameters that are wrong name the place: %j', (startup, sentence) => {
    const at = (path: string): string =>
      sentence.startsWith('unknown') ? `${path}: ${sentence}` : `${path}.${sentence}`;
    expect(wrong({ ...valid, listen: { startup } })).toEqual([at('listen.startup')]);
    expect(wrong(withDatabase({ startup }))).toEqual([at('databases.orders.startup')]);
  });

  test.each<[unknown, string]>([
    [{ clientMode: 'free' }, "clientMode: expected 'fixed' or 'choose', got 'free'"],
    [
      { mode: 'transaction', clientMode: 'choose', size: 1 },
      "clientMode: 'choose' needs a size of at least 2, is 1",
    ],
    [
      { mode: 'transaction', clientMode: 'choose', perRole: 1 },
      "clientMode: 'choose' needs a perRole of at least 2, is 1",
    ],
    [
      { mode: 'transaction', clientMode: 'choose', size: 5, mostSessions: 5 },
      'mostSessions: must be less than size, 5, is 5: nothing would be left for transaction mode',
    ],
    [
      { mode: 'transaction', mostSessions: 5 },
      "mostSessions: is for mode: 'transaction' with clientMode: 'choose'",
    ],
    [
      { clientMode: 'choose', mostSessions: 5 },
      "mostSessions: is for mode: 'transaction' with clientMode: 'choose'",
    ],
  ])('a mode that clients cannot choose names the place: %j', (pool, sentence) => {
    expect(wrong(withDatabase({ pool }))).toEqual([`databases.orders.pool.${sentence}`]);
  });

  test.each<[object, string]>([
    [{ unknownSettings: 'reset' }, "unknownSettings: is for mode: 'transaction'"],
    [{ mode: 'session', reparseAfter: '5s' }, "reparseAfter: is for mode: 'transaction'"],
    [{ detect: 'state' }, "detect: 'state' is for mode: 'transaction'; say 'calls' or 'tags'"],
  ])('an option of transaction mode in a pool that has none names the place: %j', (pool, sentence) => {
    const path = `databases.orders.pool.${sentence}`;
    expect(wrong(withDatabase({ pool }))).toEqual([path]);
    for (const other of [{ mode: 'transaction' }, { mode: 'session', clientMode: 'choose', size: 4 }])
      expect(() => checkConfig(withDatabase({ pool: { ...pool, ...other } }), DIRECTORY)).not.toThrow();
  });

  test.each<[unknown, string]>([
    [{ ...valid, workers: 0 }, "workers: expected 'auto' or a whole number from 1 to 63, got 0"],
    [{ ...valid, workers: 1.5 }, "workers: expected 'auto' or a whole number from 1 to 63, got 1.5"],
    [{ ...valid, workers: 'all' }, "workers: expected 'auto' or a whole number from 1 to 63, got 'all'"],
  ])('what is not built yet says so: %j', (config, sentence) => {
    expect(wrong(config)).toEqual([sentence]);
  });

  test('every mistake has its line', () => {
    const config = {
      ...valid,
      foo: 1,
      bar: 2,
      listen: { prt: 1, port: 'x' },
      databases: { a: 5, b: { ...orders, port: 0 } },
    };
    expect(wrong(config)).toEqual([
      "listen.port: expected a whole number from 0 to 65535, got 'x'",
      "listen: unknown key 'prt'; did you mean 'port'?",
      'databases.a: expected an object, got 5',
      'databases.b.port: expected a whole number from 1 to 65535, got 0',
      expect.stringContaining("unknown key 'foo'"),
      expect.stringContaining("unknown key 'bar'"),
    ]);
  });

  test.each<[unknown]>([
    [withDatabase({ login: 'hunter2' })],
    [withDatabase({ login: { kind: 'password', passwords: 'hunter2' } })],
    [withDatabase({ login: { kind: 'password', passwords: { reader: ['hunter2'] } } })],
    [withDatabase({ login: { kind: 'password', password: 'hunter2', passwords: {} } })],
    [withDatabase({ host: 'postgres://reader:hunter2@db/orders' })],
  ])('a secret in the wrong place is not repeated (%#)', (config) => {
    expect(wrong(config).join()).toMatch(/^databases\.orders\./);
    expect(wrong(config).join()).not.toMatch('hunter2');
  });

  test.each([1, 63, 'auto'])('workers may be %s', (workers) => {
    expect(wrong({ ...valid, workers })).toEqual(['nothing is wrong']);
  });
});

describe('files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-config-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  const sentence = (config: unknown): string => {
    try {
      checkConfig(config, folder);
    } catch (error) {
      return (error as Error).message;
    }
    return 'nothing is wrong';
  };

  test('a missing certificate is named with its place and absolute path', () => {
    const config = { ...valid, listen: { tls: { cert: 'no.crt', key: 'no.key' } } };
    expect(sentence(config)).toMatch(`listen.tls.cert: cannot read ${folder}/no.crt: ENOENT`);
  });

  test('a file without a certificate is refused', () => {
    writeFileSync(join(folder, 'empty.crt'), 'hello');
    const config = withDatabase({ tls: { ca: 'empty.crt' } });
    expect(sentence(config)).toBe(`databases.orders.tls.ca: no PEM certificate in ${folder}/empty.crt`);
  });

  test('a broken certificate is refused', () => {
    writeFileSync(join(folder, 'bad.crt'), '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n');
    const config = withDatabase({ tls: { ca: 'bad.crt' } });
    expect(sentence(config)).toMatch(`databases.orders.tls.ca: broken certificate in ${folder}/bad.crt`);
  });
});

describe('certificates', async () => {
  const made = await certificates();
  afterAll(() => made.remove());

  test('relative paths start from the config file, and come out absolute', () => {
    const tls = { cert: 'server.crt', key: 'server.key', clientCa: 'ca.crt' };
    const [listener] = checkConfig({ ...valid, listen: { tls } }, made.folder).listeners;
    expect(listener?.tls).toEqual({
      cert: made.server.certFile,
      key: made.server.keyFile,
      clientCa: made.ca.certFile,
      clientCertificate: 'optional',
      servernames: {},
    });
  });

  test('the authorities of a database come out absolute', async () => {
    const entry = { ...orders, tls: { mode: 'verify-ca', ca: 'ca.crt' } };
    const config = checkConfig({ ...valid, databases: { orders: entry } }, made.folder);
    expect((await config.database('orders'))?.tls).toEqual({ mode: 'verify-ca', ca: made.ca.certFile });
  });

  test.each([
    [
      { cert: 'server.crt', key: 'other.key' },
      /^listen\.tls\.key: .*other\.key is no private key for .*server\.crt: /,
    ],
    [{ cert: 'server.crt', key: 'server.crt' }, /^listen\.tls\.key: /],
    [
      {
        cert: 'server.crt',
        key: 'server.key',
        servernames: { 'a.example': { cert: 'other.crt', key: 'ca.key' } },
      },
      /^listen\.tls\.servernames\['a\.example'\]\.key: /,
    ],
    [
      { cert: 'server.crt', key: 'server.key', clientCa: 'server.key' },
      /^listen\.tls\.clientCa: no PEM certificate/,
    ],
    [
      { cert: 'server.crt', key: 'server.key', clientCertificate: 'required' },
      /^listen\.tls\.clientCertificate: needs/,
    ],
  ])('a pair that cannot serve is refused: %j', (tls, sentence) => {
    expect(() => checkConfig({ ...valid, listen: { tls } }, made.folder)).toThrow(sentence);
  });

  test('the content of a key is never repeated', () => {
    const tls = { cert: 'server.crt', key: 'other.key' };
    const [, line = ''] = made.other.key.split('\n');
    expect(() => checkConfig({ ...valid, listen: { tls } }, made.folder)).not.toThrow(line);
  });
});

describe('durations and rates', () => {
  test.each([
    ['250ms', 250],
    ['10s', 10_000],
    ['2m', 120_000],
    ['2min', 120_000],
    ['1.5h', 5_400_000],
    ['1d', 86_400_000],
  ])('%s is %d milliseconds', (text, ms) => {
    expect(milliseconds(text)).toBe(ms);
  });

  test.each(['', '10', 's', '-1s', '1 s', '1e3s', '0x1s', '1S', 'Infinitys', '1s\n'])(
    '%j is no duration',
    (text) => {
      expect(() => milliseconds(text)).toThrow(ConfigError);
    },
  );

  test('a rate is so many events in so many milliseconds', () => {
    expect(rate('20/s')).toEqual({ events: 20, perMs: 1_000 });
    expect(rate('0.5/min')).toEqual({ events: 0.5, perMs: 60_000 });
  });

  test.each(['20', '20/', '0/s', '/s', '20/ms', '-1/s', '1/s/s'])('%j is no rate', (text) => {
    expect(() => rate(text)).toThrow(ConfigError);
  });
});

describe('helpers', () => {
  test('only() inside only() narrows, and never widens', () => {
    const inner = only({ databases: ['a', 'b'], listeners: ['x'] }, { name: 'p' });
    expect(only({ databases: ['b', 'c'] }, ...inner)).toEqual([
      { name: 'p', scope: { databases: ['b'], listeners: ['x'] } },
    ]);
  });

  test('env() falls back, and names the variable it misses', () => {
    expect(env('POSTERN_TEST_UNSET', 'x')).toBe('x');
    expect(() => env('POSTERN_TEST_UNSET')).toThrow('environment variable POSTERN_TEST_UNSET is not set');
  });
});
