/** The repository's documents as tests look at them: blocks, tables, links. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** One document. */
export interface Document {
  /** From the root of the repository. */
  readonly path: string;
  readonly text: string;
}

/** Reads one. */
export function documentAt(path: string): Document {
  return { path, text: readFileSync(join(root, path), 'utf8') };
}

const IGNORED = /^(node_modules|dist.*|\..*)$/;

function markdownIn(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return IGNORED.test(entry.name) ? [] : markdownIn(path);
    return path.endsWith('.md') ? [path] : [];
  });
}

/** Every Markdown file of the repository. */
export function documents(): readonly Document[] {
  return markdownIn('').map(documentAt);
}

/** The contents of fenced blocks in a language. */
export function blocks({ text }: Document, language: string): readonly string[] {
  const fence = new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\``, 'gms');
  return [...text.matchAll(fence)].map(([, block = '']) => block);
}

/** Everything set as code: fenced blocks and spans. */
export function code({ text }: Document): readonly string[] {
  const fenced = [...text.matchAll(/^```\w*\n(.*?)^```/gms)].flatMap(([, block = '']) => block.split('\n'));
  const spans = [...text.replace(/^```.*?^```/gms, '').matchAll(/`([^`\n]+)`/g)];
  return [...fenced, ...spans.map(([, span = '']) => span)];
}

/** The rows of the first table under a heading, without its head, as cells. */
export function table({ text }: Document, heading: string): readonly (readonly string[])[] {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => /^#+ /.test(line) && line.replace(/^#+ /, '') === heading);
  const rows: string[][] = [];
  for (const line of start < 0 ? [] : lines.slice(start + 1)) {
    if (line.startsWith('#') || (rows.length > 0 && !line.startsWith('|'))) break;
    if (line.startsWith('|')) rows.push(line.split(/(?<!\\)\|/).slice(1, -1));
  }
  return rows.slice(2).map((row) => row.map((cell) => cell.trim()));
}

/** Names set as code in a text. */
export function named(text: string): readonly string[] {
  return [...text.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
}

/** Targets of links that are not addresses. */
export function links({ text }: Document): readonly string[] {
  const prose = text
    .replace(/^```.*?^```/gms, '')
    .replace(/`[^`\n]*`/g, (span) => span.replace(/[[\]]/g, ''));
  const targets = [...prose.matchAll(/\[[^\]]*\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return targets.filter((target) => !/^[a-z]+:/.test(target));
}

/** A heading as GitHub names it in links. */
export function slug(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');
}

/** What `#…` may point to. */
export function anchors({ text }: Document): readonly string[] {
  const headings = [...text.replace(/^```.*?^```/gms, '').matchAll(/^#+ (.*)$/gm)];
  return headings.map(([, heading = '']) => slug(heading));
}
