/** The options of `passwords`, its file, and the dates until which passwords are good. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, renameSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, onTestFinished } from 'vitest';
import { ConfigError } from '../../core/index.ts';
import type { LoginSession, ScramMock, ScramVerifier } from '../../core/index.ts';
import { linkInstances } from '../support/linked-instances.ts';
import { linkWorkers } from '../support/worker-links.ts';
import { mockScramVerifier } from '../../core/wire/scram-verifier.ts';
import { passwords } from '../../plugins/passwords/index.ts';
import type { PasswordsOptions } from '../../plugins/passwords/index.ts';
import { parseUntil } from '../../plugins/passwords/until.ts';
import { host, refusalOf } from './gateway.ts';
import type { LogLine, PluginHost } from './gateway.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-passwords-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Writes a list as programs do that replace one: all at once. */
function write(text: string, mode = 0o600, name = 'userlist.txt'): string {
  const file = join(folder, name);
  writeFileSync(`${file}.new`, text, { mode });
  chmodSync(`${file}.new`, mode);
  renameSync(`${file}.new`, file);
  return file;
}

const verifierOf = (iterations: number): string => {
  const { salt, storedKey, serverKey } = mockScramVerifier(Buffer.alloc(32), String(iterations), iterations);
  const [text, stored, server] = [salt, storedKey, serverKey].map((bytes) =>
    Buffer.from(bytes).toString('base64'),
  );
  return `SCRAM-SHA-256$${iterations}:${text}$${stored}:${server}`;
};

interface Asked {
  verifier?: ScramVerifier | undefined;
  mock?: ScramMock | undefined;
  readonly facts: Record<string, unknown>;
  readonly ends: Date[];
}

/** Logs a user in whose proof is right, if there is anything to prove. */
async function logIn(plugin: ReturnType<typeof passwords>, user: string): Promise<Asked> {
  const asked: Asked = { facts: {}, ends: [] };
  const session = {
    startup: { user, database: 'orders', parameters: {} },
    client: { address: '127.0.0.1', port: 1, listener: 'legacy' },
    log: { info() {}, warn() {}, error() {} },
    facts: asked.facts,
    async scram(lookup: Parameters<LoginSession['scram']>[0], mock?: ScramMock) {
      asked.mock = mock;
      asked.verifier = await lookup(user);
      if (!asked.verifier) throw new Error('unknown');
    },
    establish: (name: string, value: unknown) => void (asked.facts[name] = value),
    endAt: (at: Date) => void asked.ends.push(at),
  };
  await plugin.onAuth?.(session as never, {} as never);
  return asked;
}

async function until(holds: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await holds())) await new Promise((resolve) => setTimeout(resolve, 20));
}

let opened: PluginHost | undefined;
async function open(options: PasswordsOptions): Promise<ReturnType<typeof passwords>> {
  await opened?.stop();
  const plugin = passwords(options);
  opened = await host([plugin], folder);
  return plugin;
}
const lines = (): readonly LogLine[] => opened?.lines ?? [];
afterAll(() => opened?.stop());

describe('options', () => {
  test.each<[unknown, string]>([
    [undefined, 'passwords: an object is needed'],
    [{}, 'passwords: file or query is needed'],
    [{ file: 'a', query: { database: 'a', role: 'b' } }, 'passwords: file or query is needed'],
    [{ file: '' }, 'passwords.file: the path of a userlist.txt is needed'],
    [{ fle: 'a' }, 'passwords.fle: no such option'],
    [{ file: 'a', until: '30.6.2027' }, "passwords.until: a day such as '2027-06-30'"],
    [{ file: 'a', until: '2027-02-30' }, "passwords.until: a day such as '2027-06-30'"],
    [{ file: 'a', until: '2027-13-01' }, "passwords.until: a day such as '2027-06-30'"],
    [{ file: 'a', until: '2027-06-30T18:00' }, "passwords.until: a day such as '2027-06-30'"],
    [{ file: 'a', until: '2027-02-30T18:00:00Z' }, "passwords.until: a day such as '2027-06-30'"],
    [{ file: 'a', until: new Date() }, "passwords.until: a day such as '2027-06-30'"],
    [{ file: 'a', users: [] }, 'passwords.users: an object with users is needed'],
    [{ file: 'a', users: { bob: {} } }, 'passwords.users["bob"].until: a day'],
    [{ file: 'a', users: { bob: { until: 'x' } } }, 'passwords.users["bob"].until: a day'],
    [{ file: 'a', secret: 'short' }, 'passwords.secret: a secret of at least 32 bytes is needed'],
    [{ query: {} }, 'passwords.query.database: the name of a database of this config is needed'],
    [
      { query: { database: 'a', role: 'pg_monitor' } },
      'passwords.query.role: role name "pg_monitor" is reserved',
    ],
    [
      { query: { database: 'a', role: 'b', function: 'f(); --' } },
      'passwords.query.function: schema and name are needed',
    ],
    [
      { query: { database: 'a', role: 'b', iterations: 0 } },
      'passwords.query.iterations: a whole number from 1',
    ],
  ])('%j stops the boot', (options, sentence) => {
    expect(() => passwords(options as PasswordsOptions)).toThrow(sentence);
    expect(() => passwords(options as PasswordsOptions)).toThrow(ConfigError);
  });

  test('a day counts to its end in UTC, a moment to itself', () => {
    expect(parseUntil('2027-06-30').toISOString()).toBe('2027-07-01T00:00:00.000Z');
    expect(parseUntil('2028-02-29').toISOString()).toBe('2028-03-01T00:00:00.000Z');
    expect(parseUntil('2027-06-30T18:00:00Z').toISOString()).toBe('2027-06-30T18:00:00.000Z');
    expect(parseUntil('2027-06-30T18:00+02:00').toISOString()).toBe('2027-06-30T16:00:00.000Z');
  });
});

describe('the file', () => {
  test('gives verifiers as they stand there, and makes them of passwords', async () => {
    write(`"v" "${verifierOf(4096)}"\n"p" "pass ß"\n"n" ""\n`);
    const plugin = await open({ file: 'userlist.txt' });
    expect((await logIn(plugin, 'v')).verifier?.salt.length).toBe(16);
    expect((await logIn(plugin, 'p')).verifier).toMatchObject({ iterations: 4096 });
    for (const user of ['n', 'nobody', '', 'V', '__proto__'])
      await expect(logIn(plugin, user)).rejects.toThrow('unknown');
    expect(lines()).toContainEqual({
      fields: { file: join(folder, 'userlist.txt'), users: 2, plaintext: 1 },
      message: 'passwords read',
    });
    expect(JSON.stringify(lines())).not.toMatch(/pass ß|SCRAM/);
  });

  test('says what users that there are not are told: what most users have', async () => {
    write(`"a" "${verifierOf(10_000)}"\n"b" "${verifierOf(10_000)}"\n"c" "${verifierOf(4096)}"\n`);
    const plugin = await open({ file: 'userlist.txt', secret: 'x'.repeat(32) });
    expect((await logIn(plugin, 'c')).mock).toEqual({
      iterations: 10_000,
      secret: Buffer.from('x'.repeat(32)),
    });
  });

  test('tells no user by a salt that another gateway with the same secret does not have', async () => {
    write('"a" "one"\n');
    const secret = 'x'.repeat(32);
    const saltOf = async (options: PasswordsOptions): Promise<Uint8Array | undefined> =>
      (await logIn(await open(options), 'a')).verifier?.salt;
    const salt = await saltOf({ file: 'userlist.txt', secret });
    expect(await saltOf({ file: 'userlist.txt', secret })).toEqual(salt);
    expect(salt).toEqual(mockScramVerifier(Buffer.from(secret), 'a', 4096).salt);
    expect(await saltOf({ file: 'userlist.txt', secret: 'y'.repeat(32) })).not.toEqual(salt);
    expect(await saltOf({ file: 'userlist.txt' })).not.toEqual(await saltOf({ file: 'userlist.txt' }));
  });

  test.each([0o644, 0o604, 0o620, 0o660, 0o666])('of mode %o is refused', async (mode) => {
    write('"a" "secret"', mode);
    await expect(open({ file: 'userlist.txt' })).rejects.toThrow('chmod 640');
  });

  test.each([0o600, 0o640, 0o400, 0o440])('of mode %o is taken', async (mode) => {
    write('"a" "secret"', mode);
    await open({ file: 'userlist.txt' });
  });

  test('with md5 is refused by name and line, with what to do', async () => {
    const md5 = `md5${'0123456789abcdef'.repeat(2)}`;
    write(`"a" "${md5}"\n"v" "${verifierOf(4096)}"\n"b ""B""" "${md5}"\n`);
    const refused = open({ file: 'userlist.txt' });
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow(
      /'a' \(line 1\), 'b "B"' \(line 3\)\. .*\\password.*scram-sha-256.*alter role/,
    );
    await expect(refused).rejects.not.toThrow(/0123456789/);
  });

  test.each([
    ['that there is not', () => rmSync(join(folder, 'userlist.txt'), { force: true }), 'ENOENT'],
    ['that is a folder', () => '..', 'it is not a file'],
    [
      'that is a pipe',
      () => execFileSync('mkfifo', ['-m', '600', join(folder, 'pipe')]) && 'pipe',
      'it is not a file',
    ],
    ['that is no UTF-8', () => writeFileSync(write(''), Buffer.from('"a" "\xff"', 'latin1')), 'utf-8'],
    ['with a wrong line', () => write('"a" secret'), 'line 1'],
  ])('%s is refused at boot with its path', async (_, make, sentence) => {
    const made = make();
    const file = { '..': '.', pipe: 'pipe' }[String(made)] ?? 'userlist.txt';
    const refused = open({ file });
    await expect(refused).rejects.toThrow(ConfigError);
    await expect(refused).rejects.toThrow('passwords.file: ');
    await expect(refused).rejects.toThrow(sentence);
  });

  test('is read again when it changes, keeps what has not changed, and stays as it was where it is wrong', async () => {
    write('"a" "one"\n"b" "two"\n');
    const plugin = await open({ file: 'userlist.txt' });
    const before = (await logIn(plugin, 'a')).verifier;
    write('"a" "one"\n"c" "three"\n');
    await until(() =>
      logIn(plugin, 'c').then(
        () => true,
        () => false,
      ),
    );
    await expect(logIn(plugin, 'b')).rejects.toThrow('unknown');
    // The salt of a user who has not changed anything does not either.
    expect((await logIn(plugin, 'a')).verifier).toEqual(before);
    write('"a" "other"\n"d" broken');
    await until(() => lines().some(({ message }) => message.startsWith('passwords not read')));
    expect((await logIn(plugin, 'a')).verifier).toEqual(before);
    expect((await logIn(plugin, 'c')).verifier).toBeDefined();
    write('"a" "other"\n"d" "four"');
    await until(() =>
      logIn(plugin, 'd').then(
        () => true,
        () => false,
      ),
    );
    expect((await logIn(plugin, 'a')).verifier).not.toEqual(before);
  });
});

test('workers tell no user by a salt that differs between them', async () => {
  write('"a" "one"\n');
  const { links, close } = linkWorkers(2);
  onTestFinished(close);
  const workers = [passwords({ file: 'userlist.txt' }), passwords({ file: 'userlist.txt' })];
  const hosts = await Promise.all(
    workers.map((plugin, index) => host([plugin], folder, new Map(), links[index])),
  );
  const [one, two] = await Promise.all(workers.map((plugin) => logIn(plugin, 'a')));
  expect(one?.mock?.secret).toEqual(two?.mock?.secret);
  expect(one?.verifier?.salt).toEqual(two?.verifier?.salt);
  for (const running of hosts) await running.stop();
});

test('instances of a fleet have the same salts, also where they start at once; one that cannot reach the store starts', async () => {
  write('"a" "one"\n');
  const linked = linkInstances();
  onTestFinished(() => linked.close());
  const begin = async (name: string) => {
    const plugin = passwords({ file: 'userlist.txt' });
    const running = await host([plugin], folder, new Map(), linked.join(name));
    onTestFinished(() => running.stop());
    return logIn(plugin, 'a');
  };
  const [one, two] = await Promise.all([begin('a'), begin('b')]);
  expect(one.mock?.secret).toEqual(two.mock?.secret);
  expect(one.verifier?.salt).toEqual(two.verifier?.salt);
  linked.away();
  const late = await begin('c');
  expect(late.mock?.secret).toBeDefined();
});

test('a reload goes on with the list that is there, and the last config to end lets it go', async () => {
  const file = write('"a" "one"\n');
  const [before, after] = [passwords({ file }), passwords({ file, until: '2999-06-30' })];
  const kept = new Map<string, unknown>();
  const first = await host([before], folder, kept);
  const { verifier } = await logIn(before, 'a');
  const second = await host([after], folder, kept);
  expect((await logIn(after, 'a')).verifier).toBe(verifier);
  await first.stop();
  expect((await logIn(after, 'a')).verifier).toBe(verifier);
  expect(second.lines.filter(({ message }) => message === 'passwords read')).toEqual([]);
  await second.stop();
  await expect(logIn(after, 'a')).rejects.toThrow('unknown');
  // One that comes later reads it anew.
  const third = await host([passwords({ file })], folder, kept);
  expect(third.lines.map(({ message }) => message)).toEqual(['passwords read']);
  await third.stop();
});

test('a password that is changed in place, with another of its length and the time of the file as before, is noticed', async () => {
  const file = write('"a" "one"\n');
  const at = new Date('2026-01-01T00:00:00Z');
  utimesSync(file, at, at);
  const plugin = await open({ file: 'userlist.txt' });
  const { storedKey } = (await logIn(plugin, 'a')).verifier ?? {};
  writeFileSync(file, '"a" "two"\n');
  utimesSync(file, at, at);
  await until(
    async () =>
      !Buffer.from(storedKey ?? []).equals((await logIn(plugin, 'a')).verifier?.storedKey ?? Buffer.alloc(0)),
  );
});

describe('identities', () => {
  test('are those of a reserved issuer, and good for ever', async () => {
    write('"a" "one"\n');
    const { facts, ends } = await logIn(await open({ file: 'userlist.txt' }), 'a');
    expect(facts).toEqual({
      identity: {
        issuer: 'password:',
        subject: 'a',
        claims: { sub: 'a' },
        expiresAt: new Date('9999-12-31T23:59:59Z'),
      },
    });
    expect(ends).toEqual([]);
  });

  test('of two lists are told apart by a realm', async () => {
    write('"a" "one"\n');
    const { facts } = await logIn(await open({ file: 'userlist.txt', realm: 'partner' }), 'a');
    expect(facts).toMatchObject({ identity: { issuer: 'password:partner', subject: 'a' } });
    for (const realm of ['', 'Partner', 'a b', 'a:b', 'x'.repeat(64), 7])
      expect(() => passwords({ file: 'userlist.txt', realm: realm as string })).toThrow('passwords.realm');
  });

  test('end with the day of all, or with that of their user', async () => {
    write('"a" "one"\n"b" "two"\n"gone" "three"');
    const plugin = await open({
      file: 'userlist.txt',
      until: '2999-06-30',
      users: { b: { until: '2999-12-31T12:00:00Z' }, gone: { until: '2020-01-31' } },
    });
    expect((await logIn(plugin, 'a')).ends).toEqual([new Date('2999-07-01T00:00:00Z')]);
    expect((await logIn(plugin, 'b')).ends).toEqual([new Date('2999-12-31T12:00:00Z')]);
    expect(await refusalOf(logIn(plugin, 'gone'))).toMatchObject({
      sqlstate: '28000',
      message: 'the password of user "gone" is not good any more',
      detail: 'It was good until 2020-02-01T00:00:00.000Z.',
    });
    expect(lines()).toContainEqual({
      fields: { option: 'passwords.users["gone"].until' },
      message: 'the time of passwords is over: their users are refused',
    });
  });
});
