import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, afterEach, describe, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { only } from '../../core/index.ts';
import type { AnyPlugin, ListenOptions, Session } from '../../core/index.ts';
import { ipFilter } from '../../plugins/ip-filter/index.ts';
import type { IpFilterOptions } from '../../plugins/ip-filter/index.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { roles } from '../../plugins/roles/index.ts';
import { databaseOf, logIn, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { mmdb } from '../support/mmdb.ts';
import type { MmdbValue } from '../support/mmdb.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { lineV1 } from '../support/proxy-headers.ts';
import { RawClient } from '../support/raw-client.ts';
import { issuer } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import type { Kept, PluginHost } from './gateway.ts';

const patient = { timeout: 30_000 };
const keys = issuer({ algorithms: ['ES256'] });
const gateways: RunningGateway[] = [];
let folder: string;
let hosts: PluginHost[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-ip-filter-'));
  hosts = [];
});
afterEach(async () => {
  for (const one of hosts) await one.stop();
  await rm(folder, { recursive: true });
});
afterAll(async () => {
  for (const { gateway } of gateways) await gateway.stop();
});

const at = (address: string): Session => ({ client: { address, port: 1, listener: 'default' } }) as Session;

/** Why the plugin refuses an address, for the operator; undefined if it does not. */
function why(plugin: AnyPlugin, address: string): string | undefined {
  try {
    void plugin.onStartup?.(at(address));
    return undefined;
  } catch (error) {
    return ((error as Error).cause as Error).message;
  }
}

async function started(
  options: IpFilterOptions,
  kept?: Kept,
): Promise<AnyPlugin & { readonly host: PluginHost }> {
  const plugin = ipFilter(options);
  const running = await host([plugin], folder, kept);
  hosts.push(running);
  return { ...plugin, host: running };
}

describe('by network', () => {
  test.each<[string, IpFilterOptions, readonly string[], readonly string[]]>([
    ['without options everybody passes', {}, ['10.0.0.1', '::1', ''], []],
    ['an empty deny is nobody', { deny: [] }, ['10.0.0.1', '2001:db8::1'], []],
    [
      'allow lets in who is there',
      { allow: ['10.0.0.0/8', '2001:db8::/32'] },
      ['10.9.9.9', '2001:db8::9'],
      ['11.0.0.0', '2001:db9::', ''],
    ],
    [
      'deny beats allow',
      { allow: ['10.0.0.0/8'], deny: ['10.6.0.0/16', '10.7.7.7'] },
      ['10.5.0.1', '10.7.7.8'],
      ['10.6.0.1', '10.7.7.7'],
    ],
    ['deny beats an allow that is narrower', { allow: ['10.6.6.6'], deny: ['10.0.0.0/8'] }, [], ['10.6.6.6']],
    [
      'an IPv4-mapped address is the IPv4 one',
      { deny: ['10.0.0.0/8', '::ffff:192.0.2.0/120'] },
      ['11.0.0.1'],
      ['::ffff:10.0.0.1', '192.0.2.7'],
    ],
    ['an address with a zone is the same without', { allow: ['fe80::/10'] }, ['fe80::1%eth0'], ['10.0.0.1']],
  ])('%s', (_, options, pass, refused) => {
    const plugin = ipFilter(options);
    for (const address of pass) expect(why(plugin, address), address).toBeUndefined();
    for (const address of refused) expect(why(plugin, address), address).toMatch(/^ipFilter\.(allow|deny) /);
  });

  test('ten thousand rules are told apart', () => {
    const deny = Array.from({ length: 10_000 }, (_, n) => `10.${n >> 8}.${n & 255}.0/25`);
    const plugin = ipFilter({ deny });
    for (let n = 0; n < 10_000; n += 97) {
      expect(why(plugin, `10.${n >> 8}.${n & 255}.127`)).toBe('ipFilter.deny has the address');
      expect(why(plugin, `10.${n >> 8}.${n & 255}.128`)).toBeUndefined();
    }
  });
});

const COUNTRIES = { '192.0.2.0/24': 'DE', '198.51.100.0/24': 'KP', '2001:db8::/32': 'AT' };
const countriesIn = (file: string, given: Record<string, string> = COUNTRIES): Promise<void> =>
  put(
    file,
    mmdb(
      Object.fromEntries(
        Object.entries(given).map(([network, code]) => [network, { country: { iso_code: code } }]),
      ),
    ),
  );

/** As an updater should: the new file takes the place of the old one as a whole. */
async function put(file: string, bytes: Buffer): Promise<void> {
  await writeFile(join(folder, `${file}.new`), bytes);
  await rename(join(folder, `${file}.new`), join(folder, file));
}

describe('by country', () => {
  const database = 'countries.mmdb';
  const refusedBy = (rule: string, code: string): string => `ipFilter.countries.${rule} ${code}`;
  const KP = refusedBy('deny has', 'KP');
  const unknown = 'ipFilter.countries: the address is not known';

  test.each<[string, object, Record<string, string | undefined>]>([
    [
      'deny refuses who is there',
      { deny: ['KP'] },
      { '192.0.2.1': undefined, '198.51.100.1': KP, '10.0.0.1': undefined },
    ],
    [
      'allow refuses everybody else, and who is not known',
      { allow: ['DE', 'AT'] },
      {
        '192.0.2.1': undefined,
        '2001:db8::1': undefined,
        '198.51.100.1': refusedBy('allow does not have', 'KP'),
        '10.0.0.1': unknown,
        '': unknown,
      },
    ],
    [
      'who is not known passes where the config says so',
      { allow: ['DE'], unknown: 'allow' },
      { '10.0.0.1': undefined, '198.51.100.1': refusedBy('allow does not have', 'KP') },
    ],
    [
      'who is not known is refused where the config says so',
      { deny: ['KP'], unknown: 'deny' },
      { '10.0.0.1': unknown, '192.0.2.1': undefined },
    ],
    ['deny beats allow', { allow: ['DE', 'KP'], deny: ['KP'] }, { '198.51.100.1': KP }],
    [
      'an address is found in every form',
      { deny: ['DE', 'AT'] },
      {
        '::ffff:192.0.2.1': refusedBy('deny has', 'DE'),
        '2001:db8::1%eth0': refusedBy('deny has', 'AT'),
      },
    ],
  ])('%s', async (_, rule, expected) => {
    await countriesIn(database);
    const plugin = await started({ countries: { database, ...rule } });
    const found = Object.fromEntries(Object.keys(expected).map((address) => [address, why(plugin, address)]));
    expect(found).toEqual(expected);
  });

  test('networks and countries both have to let a client pass', async () => {
    await countriesIn(database);
    const plugin = await started({ allow: ['192.0.2.0/25'], countries: { database, allow: ['DE'] } });
    expect(why(plugin, '192.0.2.1')).toBeUndefined();
    expect(why(plugin, '192.0.2.200')).toBe('ipFilter.allow does not have the address');
  });

  test.each<[string, MmdbValue]>([
    ['IPinfo', { country: 'DE', asn: 'AS1' }],
    ['IPinfo Lite', { country: 'Germany', country_code: 'DE' }],
    ['a database of cities', { city: { names: { en: 'Berlin' } }, country: { iso_code: 'DE' } }],
  ])('reads records as %s has them', async (_, record) => {
    await put(database, mmdb({ '192.0.2.0/24': record }));
    const plugin = await started({ countries: { database, allow: ['DE'] } });
    expect(why(plugin, '192.0.2.1')).toBeUndefined();
  });

  test('a database of IPv4 knows no IPv6 address, although its first bits may fit', async () => {
    await put(database, mmdb({ '32.0.0.0/8': { country: { iso_code: 'DE' } } }, { ipVersion: 4 }));
    const plugin = await started({ countries: { database, allow: ['DE'] } });
    expect(why(plugin, '32.1.2.3')).toBeUndefined();
    expect(why(plugin, '2001:db8::1')).toBe(unknown);
  });
});

describe('by network operator', () => {
  const database = 'asn.mmdb';
  const records = {
    '192.0.2.0/24': { autonomous_system_number: 64_496 },
    '198.51.100.0/24': { asn: 'AS4200000001' },
  };

  test('numbers are the same with AS and without', async () => {
    await put(database, mmdb(records, { type: 'Test-ASN' }));
    const plugin = await started({ asns: { database, deny: ['AS64496', 4_200_000_001] } });
    expect(why(plugin, '192.0.2.1')).toBe('ipFilter.asns.deny has AS64496');
    expect(why(plugin, '198.51.100.1')).toBe('ipFilter.asns.deny has AS4200000001');
    expect(why(plugin, '203.0.113.1')).toBeUndefined();
  });

  test('one file may serve both', async () => {
    const both = { country: 'DE', autonomous_system_number: 64_496 };
    await put(database, mmdb({ '192.0.2.0/24': both }));
    const plugin = await started({
      countries: { database, allow: ['DE'] },
      asns: { database, deny: [64_496] },
    });
    expect(why(plugin, '192.0.2.1')).toBe('ipFilter.asns.deny has AS64496');
  });
});

describe('a database that cannot be used stops the start', () => {
  const whole = mmdb({ '10.0.0.0/8': { country: { iso_code: 'DE' } } });
  const damaged = Buffer.from(whole);
  damaged.fill(0xff, 0, 600);

  test.each<[string, Buffer | undefined, string]>([
    ['there is none', undefined, 'there is no such file'],
    ['it is empty', Buffer.alloc(0), 'not a MaxMind database, or not all of one'],
    [
      'it is something else',
      Buffer.from('<html>Please log in</html>'),
      'not a MaxMind database, or not all of one',
    ],
    [
      'its end is missing',
      whole.subarray(0, whole.length - 250),
      'not a MaxMind database, or not all of one',
    ],
    ['its beginning is missing', whole.subarray(100), 'the file is damaged'],
    ['it is of another format', mmdb({}, { format: 3 }), 'version 3 of the format, which nobody knows'],
    [
      'it is of another kind',
      mmdb({ '10.0.0.0/8': { autonomous_system_number: 1 } }),
      'no database of countries',
    ],
  ])('%s', async (_, bytes, sentence) => {
    if (bytes) await put('x.mmdb', bytes);
    await expect(started({ countries: { database: 'x.mmdb', deny: ['KP'] } })).rejects.toThrow(
      `ipFilter.countries.database: 'x.mmdb' cannot be used: ${sentence}`,
    );
  });

  test('its records are damaged', async () => {
    await put('x.mmdb', damaged);
    await expect(started({ asns: { database: 'x.mmdb', deny: [1] } })).rejects.toThrow(
      /^ipFilter\.asns\.database: /,
    );
  });
});

describe('a database that changes', () => {
  const countries = { database: 'countries.mmdb', deny: ['KP'] };

  test('is in force within seconds, and its old version until then', async () => {
    await countriesIn('countries.mmdb');
    const plugin = await started({ countries });
    expect(why(plugin, '192.0.2.1')).toBeUndefined();
    await countriesIn('countries.mmdb', { '192.0.2.0/24': 'KP' });
    await expect.poll(() => why(plugin, '192.0.2.1'), patient).toBe('ipFilter.countries.deny has KP');
    expect(why(plugin, '198.51.100.1')).toBeUndefined();
    const loaded = plugin.host.lines.filter(({ message }) => message === 'database loaded');
    expect(loaded).toHaveLength(2);
    expect(loaded[1]?.fields).toMatchObject({ type: 'Test-Country', built: new Date(1_700_000_000_000) });
  });

  test('into one that is cut, or of another kind, or gone, leaves the old one in use, with one line each', async () => {
    await countriesIn('countries.mmdb');
    const plugin = await started({ countries });
    const complaints = (): unknown[] =>
      plugin.host.lines
        .filter(({ message }) => message.startsWith('database not refreshed'))
        .map(({ fields }) => (fields as { reason: string }).reason);
    await put('countries.mmdb', mmdb(COUNTRIES).subarray(0, 300));
    await expect.poll(complaints, patient).toEqual(['not a MaxMind database, or not all of one']);
    await put('countries.mmdb', mmdb({ '10.0.0.0/8': { autonomous_system_number: 1 } }));
    await expect.poll(complaints, patient).toHaveLength(2);
    await rm(join(folder, 'countries.mmdb'));
    await expect.poll(complaints, patient).toHaveLength(3);
    expect(complaints()[1]).toBe('no database of countries');
    expect(complaints()[2]).toContain('ENOENT');
    expect(why(plugin, '198.51.100.1')).toBe('ipFilter.countries.deny has KP');
    await countriesIn('countries.mmdb', { '198.51.100.0/24': 'DE' });
    await expect.poll(() => why(plugin, '198.51.100.1'), patient).toBeUndefined();
    expect(complaints()).toHaveLength(3);
  });

  test('into one that cannot be used is complained of once, however often it is looked at', async () => {
    await countriesIn('countries.mmdb');
    await countriesIn('other.mmdb');
    const plugin = await started({ countries });
    const beside = await started({ countries: { database: 'other.mmdb', deny: ['FR'] } });
    await put('countries.mmdb', Buffer.from('broken'));
    const complaints = (): number =>
      plugin.host.lines.filter(({ message }) => message.startsWith('database not refreshed')).length;
    await expect.poll(complaints, patient).toBe(1);
    // Both are looked at by the same clock.
    for (const code of ['FR', 'IT']) {
      await countriesIn('other.mmdb', { '192.0.2.0/24': code });
      const refused = code === 'FR' ? 'ipFilter.countries.deny has FR' : undefined;
      await expect.poll(() => why(beside, '192.0.2.1'), patient).toBe(refused);
    }
    expect(complaints()).toBe(1);
  });

  test('in place, in halves, is never used half', async () => {
    await countriesIn('countries.mmdb');
    const plugin = await started({ countries });
    const next = mmdb({ '198.51.100.0/24': { country: { iso_code: 'DE' } } });
    for (const part of [0.2, 0.5, 0.8]) {
      await writeFile(join(folder, 'countries.mmdb'), next.subarray(0, next.length * part));
      expect(why(plugin, '198.51.100.1')).toBe('ipFilter.countries.deny has KP');
    }
    await writeFile(join(folder, 'countries.mmdb'), next);
    await expect.poll(() => why(plugin, '198.51.100.1'), patient).toBeUndefined();
  });

  test('stays in memory over a reload, and is let go by the last who used it', async () => {
    await countriesIn('countries.mmdb');
    const kept: Kept = new Map();
    const before = await started({ countries }, kept);
    // A start would fail on this; a reload goes on with what it has.
    await put('countries.mmdb', Buffer.from('broken'));
    const after = await started({ countries: { ...countries, deny: ['DE'] } }, kept);
    expect(kept.size).toBe(1);
    await before.host.stop();
    hosts.shift();
    expect(why(after, '192.0.2.1')).toBe('ipFilter.countries.deny has DE');
    expect(after.host.lines.map(({ message }) => message)).not.toContain('database loaded');
    await after.host.stop();
    hosts.shift();
    expect(why(after, '192.0.2.1')).toBe('ipFilter.countries.database: the database is not open');
    await expect(started({ countries }, kept)).rejects.toThrow('not a MaxMind database');
  });
});

/** A gateway behind a proxy that we are. */
async function gateway(
  plugins: readonly AnyPlugin[],
  listen: Partial<ListenOptions> = {},
): Promise<RunningGateway> {
  const running = await startGateway({
    listen: { port: 0, proxyProtocol: { trusted: ['127.0.0.1'] }, ...listen },
    databases: { orders: databaseOf(sharedPostgres()), other: databaseOf(sharedPostgres()) },
    plugins,
  });
  gateways.push(running);
  return running;
}

const login = [jwt({ issuers: [keys.options] }), roles({ claim: 'role', allow: ['reader'] })];

/** The fields of the refusal, or `in`; plaintext is for 127.0.0.0/8. */
async function comeFrom(
  address: string,
  port: number,
  claims: object = {},
  database = 'orders',
): Promise<unknown> {
  const client = await RawClient.connect(port);
  client.send(lineV1(`PROXY TCP4 ${address} 127.0.0.1 1 2`));
  const token = keys.sign({ ...claims });
  const outcome = await logIn(client, { user: '_', database }, { token }).then(
    () => 'in',
    (error: Error) => JSON.parse(error.message) as unknown,
  );
  client.destroy();
  return outcome;
}

describe('a client', () => {
  const refused = { S: 'FATAL', C: '28000', M: 'connections from this address are not accepted' };

  test('that is refused is not asked for a token, reads one text, and stands in the log with the reason', async () => {
    const running = await gateway([ipFilter({ allow: ['127.0.0.0/8'], deny: ['127.6.0.0/16'] }), ...login]);
    expect(await comeFrom('127.5.0.1', running.port)).toBe('in');
    expect(await comeFrom('127.6.0.1', running.port)).toMatchObject(refused);
    await expect
      .poll(() => running.lines('login refused'), patient)
      .toMatchObject([
        {
          address: '127.6.0.1',
          sqlstate: '28000',
          reason: 'connections from this address are not accepted: ipFilter.deny has the address',
        },
      ]);
  });

  test('is refused by the rules of its listener and its database only', async () => {
    const deny = ipFilter({ deny: ['127.6.0.0/16'] });
    const running = await gateway([...only({ databases: ['other'] }, deny), ...login]);
    expect(await comeFrom('127.6.0.1', running.port)).toBe('in');
    expect(await comeFrom('127.6.0.1', running.port, {}, 'other')).toMatchObject(refused);
  });
});

describe('the networks of a token', () => {
  const wrong = { C: '28000', M: 'the token may not be used from this address' };
  const from = (...cidrs: readonly string[]): object => ({ postern: { cidrs } });

  test('are where it may be used, whatever the config allows', async () => {
    const running = await gateway([ipFilter(), ...login]);
    expect(await comeFrom('127.5.0.1', running.port, from('10.0.0.0/8', '127.5.0.0/16'))).toBe('in');
    expect(await comeFrom('127.6.0.1', running.port, from('10.0.0.0/8', '127.5.0.0/16'))).toMatchObject(
      wrong,
    );
    expect(await comeFrom('127.6.0.1', running.port, from())).toMatchObject(wrong);
    expect(await comeFrom('127.6.0.1', running.port, from('127.6.0.1/8'))).toMatchObject({
      C: /28000|28P01/,
    });
    expect(await comeFrom('127.6.0.1', running.port)).toBe('in');
    await expect.poll(() => running.lines('login refused').length, patient).toBe(3);
    expect(running.lines('login refused').map(({ reason }) => reason)).toEqual([
      expect.stringContaining(
        "the token's rule cidrs is ['10.0.0.0/8', '127.5.0.0/16'], and does not have 127.6.0.1",
      ),
      expect.stringContaining("the token's rule cidrs is [], and does not have 127.6.0.1"),
      expect.anything(),
    ]);
  });

  test('do not widen what the config allows', async () => {
    const running = await gateway([ipFilter({ deny: ['127.6.0.0/16'] }), ...login]);
    expect(await comeFrom('127.6.0.1', running.port, from('127.0.0.0/8'))).toMatchObject({
      M: 'connections from this address are not accepted',
    });
  });

  test('are looked at again when the token is renewed', async () => {
    const check = ipFilter().checks?.rules;
    const session = at('10.1.2.3');
    expect(() => check?.({ cidrs: ['10.0.0.0/8'] }, session, false)).not.toThrow();
    const error = await refusalOf(
      Promise.resolve().then(() => check?.({ cidrs: ['11.0.0.0/8'] }, session, true)),
    );
    expect(error.sqlstate).toBe('28000');
    expect(() => check?.({}, session, true)).not.toThrow();
  });
});

test('a missing database stops the boot of a gateway, with its place', async () => {
  const plugins = [ipFilter({ countries: { database: 'no.mmdb', deny: ['KP'] } }), ...login];
  await expect(gateway(plugins)).rejects.toThrow(
    "ipFilter.countries.database: 'no.mmdb' cannot be used: there is no such file",
  );
  expect(() => checkConfig({ databases: {}, plugins }, folder)).not.toThrow();
});
