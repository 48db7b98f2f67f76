/** The configs of real issuers in the documents compile as somebody copies them. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PROVIDERS } from '../plugins/providers/all.ts';
import { configFile } from '../plugins/providers/trial.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'postern-configs-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** What must not compile: or nothing here would say anything. */
const WRONG = configFile(
  `plugins: [roles({ claim: 'role', allow: 'reader', as: 'lines' }), jwt({ issuers: [] })]`,
  '{}',
);

let output: string;

beforeAll(async () => {
  const texts = [...PROVIDERS.map(({ config }) => configFile(config, '{}')), WRONG];
  const files = texts.map((text, index) => {
    const file = join(folder, `${PROVIDERS[index]?.name.replaceAll(/\W+/g, '-') ?? 'wrong'}.mts`);
    writeFileSync(file, text);
    return file;
  });
  const compilerOptions = {
    rootDir: '/',
    typeRoots: [join(root, 'node_modules/@types')],
    paths: {
      postern: [join(root, 'core/index.ts')],
      'postern/plugins/*': [join(root, 'plugins/*/index.ts')],
    },
  };
  const settings = { extends: join(root, 'tsconfig.json'), compilerOptions, files, include: [] };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings));
  output = await new Promise<string>((resolve) => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    execFile(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], { cwd: root }, (_, stdout) =>
      resolve(stdout),
    );
  });
}, 120_000);

test('every config compiles, and a wrong one does not', () => {
  const errors = output.split('\n').filter((line) => line.includes('error TS'));
  expect(errors.filter((line) => !line.includes('wrong.mts'))).toEqual([]);
  expect(errors.length).toBeGreaterThan(0);
});
