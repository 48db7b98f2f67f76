/** The text of a config file that a command writes. */
import { commentLines, sourceOf } from './source.ts';
import type { Expression, Member, Members, Value } from './source.ts';

/** A plugin of the list. */
export interface ListedPlugin {
  /** Its folder, such as `rate-limit`. */
  readonly folder: string;
  /** Its factory, such as `rateLimit`. */
  readonly factory: string;
  /** The call of the factory. */
  readonly source: Expression;
  /** Lines of a comment. Default: none. */
  readonly above?: readonly string[];
}

/** A config before it is text. */
export interface Draft {
  /** A sentence on the file. */
  readonly about: string;
  /** Lines of a comment behind the imports. Default: none. */
  readonly remarks?: readonly string[];
  readonly listen: Value | undefined;
  readonly listenAbove?: readonly string[];
  readonly databases: Members;
  readonly plugins: readonly ListedPlugin[];
  /** Behind the plugins. Default: none. */
  readonly more?: readonly Member[];
}

function imports({ plugins }: Draft, body: string): readonly string[] {
  const helpers = ['defineConfig', ...(/\benv\('/.test(body) ? ['env'] : [])];
  return [
    `import { ${helpers.join(', ')} } from 'postern';`,
    ...plugins
      .map(({ folder, factory }) => `import { ${factory} } from 'postern/plugins/${folder}';`)
      .sort((one, other) => (one.split("'")[1] ?? '').localeCompare(other.split("'")[1] ?? '')),
  ];
}

function pluginLines(plugins: readonly ListedPlugin[]): readonly string[] {
  return [
    '  plugins: [',
    ...plugins.flatMap(({ source, above = [] }) => [...commentLines(above, '    '), `    ${source.text},`]),
    '  ],',
  ];
}

function memberText({ name, value = '', above = [] }: Member): readonly string[] {
  const start = `  ${name}: `;
  return [...commentLines(above, '  '), `${start}${sourceOf(value, '  ', start.length)},`];
}

/** TypeScript as it stands in the file. */
export function configText(draft: Draft): string {
  const { listen, listenAbove = [], databases, plugins, more = [] } = draft;
  const blocks = [
    ...(listen === undefined ? [] : [memberText({ name: 'listen', value: listen, above: listenAbove })]),
    memberText({ name: 'databases', value: databases }),
    pluginLines(plugins),
    ...more.filter(({ value }) => value !== undefined).map(memberText),
  ];
  const body = blocks.map((lines) => lines.join('\n')).join('\n\n');
  const remarks = commentLines(draft.remarks ?? []);
  return [
    `/** ${draft.about.replaceAll('*/', '* /')} */`,
    ...imports(draft, body),
    '',
    ...(remarks.length > 0 ? [...remarks, ''] : []),
    'export default defineConfig({',
    body,
    '});',
    '',
  ].join('\n');
}
