/** What operators see of the keys that tokens are verified with: in `/readyz?verbose`, and as metrics. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions, JwtOptions } from '../../plugins/jwt/index.ts';
import { keyNote } from '../../plugins/jwt/key-note.ts';
import { roles } from '../../plugins/roles/index.ts';
import { tracing } from '../../plugins/tracing/index.ts';
import { databaseOf, startGateway } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { parsePrometheus } from '../support/prometheus.ts';
import { issuer } from '../support/token.ts';
import { json, keyIssuer } from './key-issuer.ts';
import type { Answer } from './key-issuer.ts';
import { good, hint, openStore } from './key-stores.ts';
import { session } from './token-sessions.ts';

const inline = issuer({ algorithms: ['ES256'], issuer: 'https://inline.example' });
const down: Answer = (response) => response.writeHead(503).end();

function config(issuers: readonly IssuerOptions[], more: Partial<JwtOptions> = {}): TestConfig {
  return {
    admin: { port: 0 },
    databases: { orders: databaseOf(sharedPostgres()) },
    plugins: [
      tracing({ metrics: { public: true } }),
      jwt({ issuers, ...more }),
      roles({ claim: 'role', allow: ['reader'] }),
    ],
  };
}

async function start(given: TestConfig): Promise<RunningGateway> {
  const running = await startGateway(given);
  onTestFinished(() => running.gateway.stop());
  return running;
}

async function page({ adminPort }: RunningGateway, path: string): Promise<string> {
  return (await fetch(`http://127.0.0.1:${adminPort}${path}`)).text();
}

/** Values of the metrics about keys, by name and issuer. */
async function metrics(running: RunningGateway): Promise<Readonly<Record<string, number>>> {
  const samples = parsePrometheus(await page(running, '/metrics'));
  const keys = samples.filter(({ name }) => name.startsWith('postern_issuer_keys'));
  return Object.fromEntries(keys.map(({ name, labels, value }) => [`${name} ${labels['issuer']}`, value]));
}

test('fresh keys: how many there are and how old they are', async () => {
  const keys = await keyIssuer(json(good.jwks));
  const running = await start(config([{ ...good.options, jwks: keys.url }, inline.options]));
  await session(running, good.sign());
  const told = await page(running, '/readyz?verbose');
  expect(told).toMatch(/^\[\+\] jwt: https:\/\/id\.example: 2 keys, \d+ s old$/m);
  expect(told).toMatch(/^\[\+\] jwt: https:\/\/inline\.example: 1 key of the config$/m);
  expect(await page(running, '/readyz')).toBe('ready\n');
  const values = await metrics(running);
  expect(values).toMatchObject({
    'postern_issuer_keys https://id.example': 2,
    'postern_issuer_keys_kept https://id.example': 0,
    'postern_issuer_keys https://inline.example': 1,
    'postern_issuer_keys_kept https://inline.example': 0,
  });
  expect(values['postern_issuer_keys_age_seconds https://id.example']).toBeGreaterThan(0);
  expect(values).not.toHaveProperty('postern_issuer_keys_age_seconds https://inline.example');
});

test('keys that an earlier run has kept: that they are, and why', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'postern-watch-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  const keys = await keyIssuer(json(good.jwks));
  const options = config([{ ...good.options, jwks: keys.url }], { cache: join(folder, 'keys') });
  const first = await startGateway(options);
  await session(first, good.sign());
  await first.gateway.stop();
  keys.answer(down);
  const running = await start(config([{ ...good.options, jwks: keys.url }], { cache: join(folder, 'keys') }));
  await session(running, good.sign());
  await expect
    .poll(() => page(running, '/readyz?verbose'))
    .toMatch(
      /^\[\+\] jwt: https:\/\/id\.example: 2 keys, \d+ s old, kept on disk, since the issuer does not answer: the answer has status 503$/m,
    );
  expect(await metrics(running)).toMatchObject({ 'postern_issuer_keys_kept https://id.example': 1 });
});

test('no keys: their number is 0, and they have no age', async () => {
  const keys = await keyIssuer(down);
  const running = await start(config([{ ...good.options, jwks: keys.url }]));
  await expect.poll(() => metrics(running)).toEqual({ 'postern_issuer_keys https://id.example': 0 });
  await expect
    .poll(() => page(running, '/readyz'))
    .toMatch(/^\[-\] jwt: no keys of issuer https:\/\/id\.example: .*503$/m);
});

test('one of two issuers is down: the gateway is ready, with a note, and the other issuer’s tokens log in', async () => {
  const [keys, away] = [await keyIssuer(json(good.jwks)), await keyIssuer(down)];
  const other = {
    ...issuer({ algorithms: ['ES256'], issuer: 'https://away.example' }).options,
    jwks: away.url,
  };
  const running = await start(config([{ ...good.options, jwks: keys.url }, other]));
  await session(running, good.sign());
  await expect
    .poll(() => page(running, '/readyz?verbose'))
    .toMatch(/^\[\+\] jwt: no keys of issuer https:\/\/away\.example: .*503\n(?:.*\n)*ready\n$/m);
  expect(await page(running, '/readyz')).toBe('ready\n');
});

test('a reload, and one that fails, leave the metrics as they are', async () => {
  const keys = await keyIssuer(json(good.jwks));
  const options = (): TestConfig => config([{ ...good.options, jwks: keys.url }]);
  const running = await start(options());
  await session(running, good.sign());
  const reload = (next: TestConfig): Promise<unknown> =>
    running.gateway.reload(() => Promise.resolve(checkConfig({ listen: { port: 0 }, ...next }, tmpdir())));
  await reload(options());
  expect(await metrics(running)).toMatchObject({ 'postern_issuer_keys https://id.example': 2 });
  const broken = config([{ ...good.options, jwks: 'there-is-no-such-file.json' }]);
  await reload(broken).catch(() => undefined);
  expect(await metrics(running)).toMatchObject({ 'postern_issuer_keys https://id.example': 2 });
});

test('the last good keys of a server that does not answer are told from fresh ones', async () => {
  const keys = await keyIssuer(json(good.jwks));
  const store = openStore(keys.url);
  await store.find(hint);
  expect(store.reading).toEqual({ issuer: good.issuer, keys: 2, ageMs: expect.any(Number) });
  keys.answer(down);
  await store.refresh();
  expect(store.reading).toMatchObject({ keys: 2, kept: 'the answer has status 503' });
  expect(keyNote(store.reading)).toMatch(
    /^https:\/\/id\.example: 2 keys, \d+ s old, kept, since .* status 503$/,
  );
  keys.answer(json(good.jwks));
  await store.refresh();
  expect(store.reading).not.toHaveProperty('kept');
});
