/** How a config says that the gateway logs in, and the sentences about what cannot work. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { ConfigError } from '../../core/contract/errors.ts';
import { makeAuthority } from '../support/authorities.ts';
import type { MadeAuthority } from '../support/authorities.ts';
import { describeWith } from '../support/programs.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-login-'));
let good: MadeAuthority;

beforeAll(async () => {
  good = await makeAuthority(folder, 'good');
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

const orders = { host: 'orders-db', login: { kind: 'certificate', ca: 'good.crt', key: 'good.key' } };

function check(more: object): ReturnType<typeof checkConfig> {
  return checkConfig({ databases: { orders: { ...orders, ...more } }, plugins: [] }, folder);
}

function wrong(more: object): string {
  try {
    check(more);
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as Error).message;
  }
  return 'nothing is wrong';
}

const login = (more: object): string => wrong({ login: { ...orders.login, ...more } });
const at = (name: string): string => join(folder, name);

describe("login kind 'certificate'", () => {
  test('has absolute paths and lives ten minutes by default', async () => {
    const entry = await check({}).database('orders');
    expect(entry?.login).toEqual({
      kind: 'certificate',
      ca: at('good.crt'),
      key: at('good.key'),
      lifetime: '10m',
    });
  });

  test.each(['P-384', 'P-521', 'RSA', 'Ed25519'] as const)(
    'takes an authority with a key of %s',
    async (keyType) => {
      await makeAuthority(folder, keyType, { keyType });
      expect(login({ ca: `${keyType}.crt`, key: `${keyType}.key` })).toBe('nothing is wrong');
    },
  );

  test.each([
    [{ ca: 'none.crt' }, 'login.ca: cannot read', 'ENOENT'],
    [{ key: 'none.key' }, 'login.key: cannot read', 'ENOENT'],
    [{ ca: 'good.key' }, 'login.ca: no PEM certificate in'],
    [{ key: 'good.crt' }, 'login.key: no PEM private key in'],
    [{ lifetime: '30s' }, "login.lifetime: expected a duration from 60000 ms to 24 days, got '30s'"],
    [{ lifetime: 600 }, "login.lifetime: expected a duration with its unit such as '10s', got 600"],
    [{ ca: undefined }, 'login.ca: missing: expected the path of a PEM file'],
    [{ passwords: {} }, "login: unknown key 'passwords'"],
  ])('%j is refused', (more, ...parts) => {
    const sentence = login(more);
    expect(sentence).toMatch(/^databases\.orders\.login/);
    for (const part of parts) expect(sentence).toContain(part);
  });

  test.each([
    ['is no authority', { ca: false }, 'is not the certificate of an authority'],
    ['has expired', { until: Date.now() - 1_000 }, 'expired at'],
    ['is not valid yet', { from: Date.now() + 3_600_000 }, 'is not valid before'],
  ])('a certificate that %s is refused with its file', async (_what, options, why) => {
    await makeAuthority(folder, 'bad', options);
    const sentence = login({ ca: 'bad.crt', key: 'bad.key' });
    expect(sentence).toContain(`databases.orders.login.ca: ${at('bad.crt')} ${why}`);
  });

  test('a key of another certificate is refused', async () => {
    await makeAuthority(folder, 'other');
    expect(login({ key: 'other.key' })).toBe(
      `databases.orders.login.key: ${at('other.key')} is not the key of the certificate in ${at('good.crt')}`,
    );
  });

  test.each([
    ['PKCS #8', 'pkcs8'],
    ['the older form', 'sec1'],
  ] as const)('an encrypted key in %s is refused, and says that', (_form, type) => {
    const options = { format: 'pem', type, cipher: 'aes-128-cbc', passphrase: 'x' } as const;
    writeFileSync(at('locked.key'), createPrivateKey(good.key).export(options));
    expect(login({ key: 'locked.key' })).toContain(
      `databases.orders.login.key: ${at('locked.key')} is encrypted`,
    );
  });

  test.each([
    ['secp256k1', generateKeyPairSync('ec', { namedCurve: 'secp256k1' })],
    ['rsa-pss', generateKeyPairSync('rsa-pss', { modulusLength: 2048 })],
    ['x25519', generateKeyPairSync('x25519')],
  ])('a key of %s, which signs no certificates here, is refused', (name, { privateKey }) => {
    writeFileSync(at('odd.key'), privateKey.export({ format: 'pem', type: 'pkcs8' }));
    expect(login({ key: 'odd.key' })).toMatch(new RegExp(`key of type .*${name}: make it P-256`));
  });

  test.each([
    [{ tls: { mode: 'disable' } }, 'databases.orders.tls: '],
    [{ host: '127.0.0.1' }, 'databases.orders.tls: '],
    [{ host: '/run/postgresql' }, 'databases.orders.host: '],
  ])('%j has no TLS, in which a certificate could be shown', (more, where) => {
    const sentence = wrong(more);
    expect(sentence).toContain(`${where}login kind 'certificate' needs TLS`);
  });

  test.each([
    { tls: { mode: 'require' } },
    { host: '127.0.0.1', tls: {} },
    { host: 'localhost', tls: { mode: 'verify-ca' } },
  ])('%j is fine', (more) => {
    expect(wrong(more)).toBe('nothing is wrong');
  });

  test("an entry of '*' and of a function is checked as well, the latter when it is asked for", async () => {
    const entry = { ...orders, login: { ...orders.login, ca: 'none.crt' } };
    expect(() => checkConfig({ databases: { '*': entry }, plugins: [] }, folder)).toThrow('none.crt');
    const unix = { ...orders, host: '/run/postgresql' };
    const config = checkConfig({ databases: () => unix, plugins: [] }, folder);
    await expect(config.database('orders')).rejects.toThrow('needs TLS');
  });
});

describeWith('openssl', (openssl) => {
  test('the command in the reference makes an authority that the config takes', () => {
    const readme = readFileSync(new URL('../../core/config/README.md', import.meta.url), 'utf8');
    const [, command = ''] = /^(openssl req [^`]*)^```$/m.exec(readme) ?? [];
    const words = command
      .replaceAll(/\\\n|'/g, '')
      .trim()
      .split(/\s+/)
      .slice(1);
    expect(spawnSync(openssl, words, { cwd: folder, encoding: 'utf8' })).toMatchObject({ status: 0 });
    expect(login({ ca: 'gateway-ca.crt', key: 'gateway-ca.key' })).toBe('nothing is wrong');
  });
});

describe("login kind 'set-role'", () => {
  const gate = { kind: 'set-role', user: 'gate', password: 'canary', trustedSql: true };

  test('is as it was given', async () => {
    expect((await check({ login: gate }).database('orders'))?.login).toEqual(gate);
  });

  test.each([undefined, false, 'yes', 1])('trustedSql: %j is refused, and why is said', (trustedSql) => {
    expect(wrong({ login: { ...gate, trustedSql } })).toMatch(
      /^databases\.orders\.login\.trustedSql: 'set-role' is no boundary: .*SET ROLE NONE.*trustedSql: true/,
    );
  });

  test.each([
    [
      { login: { ...gate, user: 'pg_monitor' } },
      'databases.orders.login.user: role name "pg_monitor" is reserved',
    ],
    [{ login: { ...gate, user: 'a b' } }, 'databases.orders.login.user: not a valid role name'],
    [{ login: { ...gate, user: '' } }, "databases.orders.login.user: expected a role, got ''"],
    [{ login: gate, replication: true }, 'databases.orders.replication: '],
  ])('%j is refused', (more, sentence) => {
    expect(wrong(more)).toContain(sentence);
  });

  test('a password that is none is never shown', () => {
    expect(wrong({ login: { ...gate, password: ['canary'] } })).not.toContain('canary');
  });
});
