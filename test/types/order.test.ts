/** What somebody reads in the editor: the compiler's own words for a list in the wrong order. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'postern-types-'));
afterAll(() => rmSync(folder, { recursive: true }));

const LISTS = [
  ['[roles(), jwt()]', `'roles' needs 'identity': list a plugin that provides it above`],
  ['[jwt(), claims()]', `'claims' needs 'tenant': list a plugin that provides it above`],
  ['[jwt(), jwt()]', `'jwt' provides 'identity', which a plugin above provides already`],
  ['[sometimes && audit(), jwt()]', `'audit' needs 'identity': list a plugin that provides it above`],
  ['[jwt]', 'this is a function: did you forget to call it?'],
] as const;

const HEAD = `import { defineConfig } from 'postern';
import { audit, claims, jwt, roles } from 'skeletons';
const sometimes = Boolean(process.env['SOMETIMES']);
`;

const settings = {
  extends: join(root, 'tsconfig.json'),
  compilerOptions: {
    rootDir: '/',
    typeRoots: [join(root, 'node_modules/@types')],
    paths: { postern: [join(root, 'core/index.ts')], skeletons: [join(root, 'test/types/skeletons.ts')] },
  },
  files: [join(folder, 'lists.mts'), join(root, 'test/types/contract.ts')],
  include: [],
};

/** Every error of the compiler, by file name and line. */
let errors: readonly { readonly file: string; readonly line: number; readonly text: string }[];

beforeAll(async () => {
  const lists = LISTS.map(([list]) => `defineConfig({ databases: {}, plugins: ${list} });\n`);
  writeFileSync(join(folder, 'lists.mts'), HEAD + lists.join(''));
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(settings));
  const output = await new Promise<string>((resolve) => {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    execFile(process.execPath, [tsc, '-p', folder, '--pretty', 'false'], { cwd: root }, (_, stdout) =>
      resolve(stdout),
    );
  });
  errors = [...output.matchAll(/^(\S[^(]*)\((\d+),\d+\): error (.*)$/gm)].map(
    ([, file = '', line, text = '']) => ({
      file,
      line: Number(line),
      text,
    }),
  );
});

const HEAD_LINES = HEAD.split('\n').length - 1;

test.each(LISTS)('%s does not compile, and says: %s', (list, sentence) => {
  const line = HEAD_LINES + 1 + LISTS.findIndex(([one]) => one === list);
  const here = errors.filter((error) => error.file.endsWith('lists.mts') && error.line === line);
  expect(here).toHaveLength(1);
  expect(here[0]?.text).toContain(sentence);
});

test('nothing else is wrong, neither with those lists nor with what has to compile', () => {
  expect(errors.filter(({ file }) => !file.endsWith('lists.mts'))).toEqual([]);
  expect(errors.filter(({ line }) => line <= HEAD_LINES)).toEqual([]);
  expect(errors).toHaveLength(LISTS.length);
});
