/** Tokens of real providers: each config of the document, a local issuer that behaves as the provider, and what logins come to. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { PROVIDERS } from './providers/all.ts';
import { providersDocument } from './providers/document.ts';
import { ProviderKeys } from './providers/local-provider.ts';
import { tryProvider } from './providers/trial.ts';
import type { Trial } from './providers/trial.ts';

const DOCUMENT = fileURLToPath(new URL('../../plugins/jwt/providers.md', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'postern-providers-'));
const trials = new Map<string, Trial>();

beforeAll(async () => {
  const files = await certificates();
  const keys = new ProviderKeys();
  for (const [index, provider] of PROVIDERS.entries()) {
    const own = join(folder, String(index));
    mkdirSync(own);
    const parts = { keys, folder: own, certificates: files };
    trials.set(provider.name, await tryProvider(provider, sharedPostgres(), parts));
  }
  files.remove();
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

function trialOf(name: string): Trial {
  const trial = trials.get(name);
  if (!trial) throw new Error(`${name} was not tried`);
  return trial;
}

describe.each(PROVIDERS)('$name', ({ name, granted, refused, bearer }) => {
  test.each(granted)('a token $name logs in as $role', ({ name: token, role }) => {
    const outcome = trialOf(name).granted.find((one) => one.token.name === token);
    expect([outcome?.role, outcome?.reason]).toEqual([role, undefined]);
  });

  test.each(refused)('a token $name is refused', ({ name: token }) => {
    const outcome = trialOf(name).refused.find((one) => one.token.name === token);
    expect(outcome?.role).toBeUndefined();
    expect(['28000', '28P01']).toContain(outcome?.sqlstate);
    expect(outcome?.reason).toMatch(/\w{3}/);
  });

  test('the keys were fetched, and the credential for that is in no log', () => {
    const { unauthorised, log } = trialOf(name);
    expect(unauthorised).toBe(0);
    expect(log).toContain('key set loaded');
    if (bearer !== undefined) expect(log).not.toContain(bearer);
  });
});

test('the document shows what was tried: `npx vitest run test/plugins/providers.test.ts -u` writes it', async () => {
  const tried = PROVIDERS.map((provider) => [provider, trialOf(provider.name)] as const);
  await expect(await providersDocument(tried)).toMatchFileSnapshot(DOCUMENT);
});
