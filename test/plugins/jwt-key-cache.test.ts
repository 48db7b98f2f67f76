/** Keys kept on disk: they serve a start without the issuer, for as long as they may, and only if they are ours. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { KeyCache } from '../../plugins/jwt/key-cache.ts';
import { parseKeySet } from '../../plugins/jwt/key-set.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions } from '../../plugins/jwt/index.ts';
import { host, refusalOf } from './gateway.ts';
import type { PluginHost } from './gateway.ts';
import { hang, json, keyIssuer } from './key-issuer.ts';
import type { KeyIssuer } from './key-issuer.ts';
import { good, next, subject } from './key-stores.ts';

async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'postern-keys-'));
  onTestFinished(() => rm(made, { recursive: true, force: true }));
  return made;
}

async function start(
  keys: KeyIssuer,
  directory: string,
  more: Partial<IssuerOptions> = {},
): Promise<PluginHost> {
  const options = { ...good.options, jwks: keys.url, ...more };
  const running = await host([jwt({ issuers: [options], cache: 'keys' })], directory);
  onTestFinished(() => running.stop());
  return running;
}

/** The one file of kept keys, once it is there. */
async function keptFile(directory: string): Promise<string> {
  const all = join(directory, 'keys');
  await vi.waitFor(
    async () => expect((await readdir(all)).filter((name) => name.endsWith('.json'))).toHaveLength(1),
    30_000,
  );
  return join(all, (await readdir(all)).find((name) => name.endsWith('.json')) ?? '');
}

/** An issuer whose keys have been kept, and which is down now. */
async function afterARun(directory: string): Promise<{ keys: KeyIssuer; file: string }> {
  const keys = await keyIssuer(json(good.jwks));
  const first = await start(keys, directory);
  expect(await subject(first, good.sign())).toBe('alice');
  const file = await keptFile(directory);
  await first.stop();
  keys.answer((response) => response.writeHead(503).end());
  return { keys, file };
}

async function refused(running: PluginHost): Promise<string> {
  return (await refusalOf(running.login({ token: good.sign() }))).sqlstate;
}

test('serve a start while the issuer is down, and nobody else can read or write the file', async () => {
  const directory = await folder();
  const { keys, file } = await afterARun(directory);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
  expect((await stat(join(directory, 'keys'))).mode & 0o777).toBe(0o700);
  const running = await start(keys, directory);
  expect(await subject(running, good.sign())).toBe('alice');
  expect(running.notReady()).toEqual([]);
});

test('hold public parts only', async () => {
  const { file } = await afterARun(await folder());
  const { keys } = JSON.parse(await readFile(file, 'utf8')) as { keys: object[] };
  expect(keys).toHaveLength(2);
  for (const key of keys) expect(Object.keys(key)).not.toContain('d');
});

test('do not serve where the issuer, which is up, says something else', async () => {
  const directory = await folder();
  const { keys } = await afterARun(directory);
  keys.answer(json(next.jwks));
  const running = await start(keys, directory);
  expect(await refused(running)).toBe('28P01');
  expect((await running.login({ token: next.sign() })).facts.identity).toBeDefined();
});

test('serve soon where the issuer hangs', async () => {
  const directory = await folder();
  const { keys } = await afterARun(directory);
  keys.answer(hang);
  expect(await subject(await start(keys, directory), good.sign())).toBe('alice');
});

test('serve no longer than maxStale from their fetch, however late the start is', async () => {
  const directory = await folder();
  const { keys, file } = await afterARun(directory);
  const content = JSON.parse(await readFile(file, 'utf8')) as { fetchedAt: number };
  await writeFile(file, JSON.stringify({ ...content, fetchedAt: content.fetchedAt - 3_600_000 }));
  expect(await refused(await start(keys, directory, { maxStale: '59m' }))).toBe('57P03');
  expect(await subject(await start(keys, directory, { maxStale: '61m' }), good.sign())).toBe('alice');
});

test('grow old while they serve: their age is counted on from the last run', async () => {
  const directory = await folder();
  const { keys, file } = await afterARun(directory);
  const content = JSON.parse(await readFile(file, 'utf8')) as { fetchedAt: number };
  await writeFile(file, JSON.stringify({ ...content, fetchedAt: Date.now() - 3_595_000 }));
  const running = await start(keys, directory, { maxStale: '1h' });
  expect(running.notReady()).toEqual([]);
  await vi.waitFor(() => expect(running.notReady().join()).toMatch(/no keys/), 30_000);
  expect(await refused(running)).toBe('57P03');
});

test('are kept with a new time where they did not change', async () => {
  const directory = await folder();
  const { keys, file } = await afterARun(directory);
  await utimes(file, 1, 1);
  keys.answer(json(good.jwks));
  await subject(await start(keys, directory), good.sign());
  await vi.waitFor(async () => expect((await stat(file)).mtimeMs).toBeGreaterThan(1_000), 30_000);
});

describe('are not used if the file', () => {
  type Change = (file: string, directory: string) => Promise<unknown>;
  const content = async (file: string): Promise<object> => JSON.parse(await readFile(file, 'utf8')) as object;
  const replaced =
    (more: (content: object) => object): Change =>
    async (file) =>
      writeFile(file, JSON.stringify(more(await content(file))));
  test.each<[string, Change]>([
    ['can be written by others', (file) => chmod(file, 0o602)],
    ['can be written by the group', (file) => chmod(file, 0o660)],
    ['is not JSON', (file) => writeFile(file, '{"keys":')],
    ['is empty', (file) => writeFile(file, '')],
    ['has no keys', replaced((all) => ({ ...all, keys: [] }))],
    ['is of another issuer', replaced((all) => ({ ...all, issuer: 'https://other.example' }))],
    ['is from another address', replaced((all) => ({ ...all, source: 'https://other.example/keys' }))],
    ['is from the future', replaced((all) => ({ ...all, fetchedAt: Date.now() + 3_600_000 }))],
    ['has no time', replaced((all) => ({ ...all, fetchedAt: undefined }))],
    ['is too long', (file) => writeFile(file, ' '.repeat(300_000))],
    ['is a folder', (file) => rm(file).then(() => mkdir(file))],
  ])('%s', async (_name, change) => {
    const directory = await folder();
    const { keys, file } = await afterARun(directory);
    await change(file, directory);
    const running = await start(keys, directory);
    expect(await refused(running)).toBe('57P03');
    expect(running.lines.map(({ message }) => message)).toContain('kept key set not used');
  });
});

test.each([
  ['keys', 0o777],
  ['.', 0o777],
])('a folder in which others can write stops the boot: %s', async (where, mode) => {
  const directory = await folder();
  await mkdir(join(directory, 'keys'));
  await chmod(join(directory, where), mode);
  const keys = await keyIssuer(json(good.jwks));
  await expect(start(keys, directory)).rejects.toThrow(/^jwt\.cache: others can write to /);
});

test('what was forgotten is not found again', async () => {
  const cache = new KeyCache(await folder(), good.issuer, 'here');
  await cache.save(parseKeySet(good.jwks));
  expect((await cache.load())?.set.size).toBe(2);
  await cache.forget();
  await expect(cache.load()).rejects.toThrow();
});
