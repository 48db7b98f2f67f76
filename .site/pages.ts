/** The pages of the site: every document of the repository as it is, and every file that one of them links to. */
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, extname, join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';
import { documents, links } from '../test/support/markdown.ts';
import type { Document } from '../test/support/markdown.ts';

const root = fileURLToPath(new URL('..', import.meta.url));

/** A link in the sidebar. */
interface SidebarLink {
  readonly text: string;
  readonly link: string;
}

/** A group of the sidebar. */
export interface SidebarGroup {
  readonly text: string;
  readonly collapsed: boolean;
  readonly items: readonly SidebarLink[];
}

/** The README of a folder, or of the next one above that has one. */
function readmeOf(folder: string): string {
  const path = posix.join(folder, 'README.md');
  return folder === '.' || existsSync(join(root, path)) ? path : readmeOf(posix.dirname(folder));
}

/**
 * Where a link in a document leads on the site: `/path/index.md#heading`, or `/path/file.ts.md` for a file that is no document.
 * @param from the document, from the root of the repository
 * @throws Error if there is no such file
 */
export function pageOf(from: string, link: string): string {
  const [file = '', anchor] = link.split('#');
  const target = posix.normalize(posix.join(posix.dirname(from), file)).replace(/\/$/, '');
  const path = statSync(join(root, target)).isDirectory() ? readmeOf(target) : target;
  const page = path.endsWith('.md') ? path.replace(/(?<=^|\/)README\.md$/, 'index.md') : `${path}.md`;
  return `/${page}${anchor === undefined ? '' : `#${anchor}`}`;
}

/** The path in the repository of the document of a page. */
export function documentOf(page: string): string {
  return page.replace(/(?<=^|\/)index\.md$/, 'README.md');
}

function write(folder: string, page: string, text: string): void {
  const file = join(folder, page);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

/** A file that is no document, as a page: its text in a block, which no text in it can end. */
function sourcePage(path: string): string {
  const language =
    { '.service': 'ini', '.ini': 'ini', '.yml': 'yaml', '.cfg': 'txt' }[extname(path)] ??
    extname(path).slice(1);
  return `# ${posix.basename(path)}\n\n\`${path}\`\n\n\`\`\`\`\`\`${language}\n${readFileSync(join(root, path), 'utf8')}\n\`\`\`\`\`\`\n`;
}

/** Writes all pages into a folder, which is emptied before. */
export function writePages(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  const sources = new Set<string>();
  for (const { path, text } of documents()) {
    write(folder, path.replace(/(?<=^|\/)README\.md$/, 'index.md'), text);
    for (const link of links({ path, text })) {
      const file = posix.normalize(posix.join(posix.dirname(path), link.split('#')[0] ?? ''));
      if (link.startsWith('#') || file.endsWith('.md') || statSync(join(root, file)).isDirectory()) continue;
      sources.add(file);
    }
  }
  for (const path of sources) write(folder, `${path}.md`, sourcePage(path));
}

function titleOf({ path, text }: Document): string {
  return /^# (.*)$/m.exec(text)?.[1]?.replaceAll('`', '') ?? path;
}

/** The guides in the order in which their index names them. */
function guideOrder(): readonly string[] {
  const index = documents().find(({ path }) => path === 'examples/README.md');
  return index ? links(index).map((link) => pageOf(index.path, link)) : [];
}

/** Groups of the sidebar, by the folder of a document; the first that fits counts. */
const GROUPS: readonly (readonly [title: string, documents: RegExp])[] = [
  ['Guides', /^examples\//],
  ['Reference', /^(core\/config\/|core\/errors\.md|core\/client\/|plugins\/README\.md)/],
  ['Plugins', /^plugins\//],
  ['Internals', /^core\//],
  ['Project', /./],
];

/** The sidebar: every document is in one group. */
export function sidebar(): readonly SidebarGroup[] {
  const order = guideOrder();
  const rank = (link: string): number => (order.includes(link) ? order.indexOf(link) : -1);
  const all = documents().map((document) => ({
    group: GROUPS.find(([, paths]) => paths.test(document.path))?.[0],
    text: titleOf(document),
    link: pageOf('', document.path),
  }));
  return GROUPS.map(([text]) => ({
    text,
    collapsed: text !== 'Guides' && text !== 'Reference',
    items: all
      .filter(({ group }) => group === text)
      .map(({ text: title, link }) => ({ text: title, link }))
      .toSorted((one, other) => rank(one.link) - rank(other.link)),
  }));
}
