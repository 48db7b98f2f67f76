/** Options as Markdown: one heading each, with its sentence, type, default, what a reload does, and an example. */
import type { Option } from './options.ts';

/** The last part of a path in front of its own name: `issuers[]` of `issuers[].audience`. */
function parentOf(path: string): string | undefined {
  return /(?:^|\.)([^.]+)\.[^.]+$/.exec(path)?.[1];
}

/** An example where it stands: `size: 50` of a pool as `pool: { size: 50 }`. */
export function inContext(path: string, example: string): string {
  if (example.startsWith('```')) return example;
  const parent = parentOf(path);
  const inner = example.includes('\n') ? `{\n  ${example.replaceAll('\n', '\n  ')}\n}` : `{ ${example} }`;
  const shown =
    parent === undefined || parent.startsWith('<')
      ? example
      : `${parent.replace('[]', '')}: ${parent.endsWith('[]') ? `[${inner}]` : inner}`;
  return `\`\`\`ts\n${shown}\n\`\`\``;
}

function fact(name: string, text: string | undefined): readonly string[] {
  return text === undefined || text === '' ? [] : [`- ${name}: ${text}`];
}

/** One option. `prefix` stands in front of its path, such as `databases.<name>.pool`. */
function section({ path, type, required, doc, reload }: Option, level: number): string {
  const { defaultValue, example, remarks } = doc.tags;
  const facts = [
    ...fact('Type', `\`${type}\``),
    ...fact('Default', defaultValue ?? (required ? 'none, it is required' : undefined)),
    ...fact('Reload', reload),
  ];
  // A list at the end would run into the facts: it stands behind the example.
  const [, lead = '', list = ''] = /^(.*?)((?:^|\n\n)- (?:(?!\n\n).)*)?$/s.exec(doc.summary) ?? [];
  const parts = [
    `${'#'.repeat(level)} \`${path}\``,
    lead,
    facts.join('\n'),
    example === undefined ? '' : inContext(path, example),
    list.trim(),
    remarks ?? '',
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** All of them, in their order. */
export function optionSections(options: readonly Option[], level = 3): string {
  return options.map((option) => section(option, level)).join('\n\n');
}
