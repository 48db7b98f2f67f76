/**
 * `npm run docs`: the site of the repository's documents, in `.site/dist`; a link that leads nowhere fails the build. With `-- --check` the site
 * has no search, which is enough to check the links.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { brokenLinks } from './broken-links.ts';
import { writePages } from './pages.ts';

const here = fileURLToPath(new URL('.', import.meta.url));
const installed = join(here, 'node_modules/.package-lock.json');

/** Runs a program here. @throws Error if it fails */
function run(program: string, ...args: readonly string[]): void {
  const { status, error } = spawnSync(program, args, { cwd: here, stdio: 'inherit' });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} failed`, { cause: error });
}

/** The packages of the site are its own: neither the gateway nor its tests wait for them. */
function install(): void {
  const isRecent =
    existsSync(installed) && statSync(installed).mtimeMs >= statSync(join(here, 'package-lock.json')).mtimeMs;
  if (!isRecent) run('npm', 'ci', '--no-audit', '--no-fund', '--loglevel=error');
}

install();
const pages = join(here, 'dist-pages');
writePages(pages);
mkdirSync(join(pages, 'public'));
copyFileSync(
  join(here, 'node_modules/@mermaid-js/tiny/dist/mermaid.tiny.js'),
  join(pages, 'public/mermaid.tiny.js'),
);
if (process.argv.includes('--check')) process.env['SITE_SEARCH'] = 'no';
run(process.execPath, 'node_modules/vitepress/bin/vitepress.js', 'build');
const broken = brokenLinks(join(here, 'dist'), process.env['SITE_BASE'] ?? '/');
for (const link of broken) process.stderr.write(`${link}\n`);
process.exitCode = broken.length > 0 ? 1 : 0;
