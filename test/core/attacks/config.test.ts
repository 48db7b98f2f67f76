/** Config files that misbehave, and what their error texts must not tell. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { checkConfig } from '../../../core/config/check.ts';
import { ConfigError } from '../../../core/contract/errors.ts';
import { loadConfig } from '../../../core/load.ts';

const folder = mkdtempSync(join(tmpdir(), 'postern-attacks-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
function load(text: string): Promise<unknown> {
  const path = join(folder, `gateway${(count += 1)}.config.ts`);
  writeFileSync(path, text);
  return loadConfig(path);
}

test.each([
  'throw "canary"',
  'throw undefined',
  'throw null',
  'throw Object.create(null)',
  'throw Symbol("x")',
  'throw { toString() { throw new Error("twice"); } }',
  'await Promise.reject(new Error("later"))',
  'export default null',
  'export default []',
  'export default 5',
  'export default "text"',
  'export default () => ({})',
  'export default Promise.resolve({})',
  'export default new Map()',
  'export default class {}',
  'export default { databases: {} }',
  'export default { databases: {}, plugins: {} }',
  'export default { databases: null, plugins: [] }',
  'export default { databases: new Map(), plugins: [] }',
  'export default { databases: [], plugins: [] }',
  'export default { databases: { __proto__: null, "": {} }, plugins: [] }',
  'export default { databases: { "a\\u0000b": { host: "x", login: { kind: "trust" } } }, plugins: [] }',
  'export default { databases: { a: { host: "[::1]", login: { kind: "trust" } } }, plugins: [] }',
  'export default { databases: { a: { host: "me:secret@db", login: { kind: "trust" } } }, plugins: [] }',
  'export default { databases: { a: { host: "a b", login: { kind: "trust" } } }, plugins: [] }',
])('%s is a sentence, not a crash', async (text) => {
  const error: unknown = await load(`${text};\nexport {};`).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(ConfigError);
});

const CANARY = 'canary-pw';
const entry = { host: 'db', login: { kind: 'password', passwords: { reader: CANARY } } };

test.each([
  { databases: { a: { ...entry, login: CANARY } } },
  { databases: { a: { ...entry, login: { kind: 'password', passwords: CANARY } } } },
  { databases: { a: { ...entry, login: { kind: 'password', passwords: [CANARY] } } } },
  { databases: { a: { ...entry, login: { kind: 'password', password: CANARY } } } },
  { databases: { a: { ...entry, login: { kind: 'password', passwords: { reader: { value: CANARY } } } } } },
  { databases: { a: { ...entry, login: { kind: 'trust', passwords: { reader: CANARY } } } } },
  { databases: { a: { ...entry, host: `postgres://me:${CANARY}@db/x` } } },
  { databases: { a: { ...entry, host: `me:${CANARY}@db` } } },
  { databases: `postgres://me:${CANARY}@db/x` },
  { databases: { a: `postgres://me:${CANARY}@db/x` } },
])('a password in the wrong place is not repeated: %j', (wrong) => {
  let error: unknown;
  try {
    checkConfig({ plugins: [], ...wrong }, tmpdir());
  } catch (thrown) {
    error = thrown;
  }
  expect(error).toBeInstanceOf(ConfigError);
  expect(String(error)).not.toContain(CANARY);
});
