/** The texts of `--help`: of all commands, of those that begin with one word, of one. */
import type { Command } from '../contract/command.ts';

/** What help is given about. */
export type Described = Pick<Command, 'summary' | 'options' | 'operands' | 'notes'>;
/** Commands by their words. */
export type Listed = Readonly<Record<string, Pick<Command, 'summary'>>>;

const WIDTH = 100;

/** The lines of a text of at most `width` characters, unless one word is longer. */
function wrapped(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines.splice(-1, 1, `${last} ${word}`);
    else lines.push(word);
  }
  return lines;
}

/** Two columns, the second wrapped. */
function columns(rows: readonly (readonly [string, string])[]): string {
  const first = Math.max(...rows.map(([name]) => name.length)) + 2;
  return rows
    .map(([name, text]) => {
      const lines = wrapped(text, WIDTH - 2 - first);
      return lines
        .map((line, index) => `  ${(index === 0 ? name : '').padEnd(first)}${line}`.trimEnd())
        .join('\n');
    })
    .join('\n');
}

function listOf(commands: Listed): string {
  return columns(Object.entries(commands).map(([words, { summary }]) => [words, summary]));
}

/** `postern --help` */
export function helpOf(commands: Listed): string {
  const options = columns([
    ['--help, -h', 'behind a command: what it does and takes'],
    ['--version, -V', 'prints the version'],
  ]);
  return `Usage: postern <command> [options]

Commands
${listOf(commands)}

A config may bring more commands, by plugins of its own. What a command takes: postern <command> --help

Options
${options}
`;
}

/** `postern sql --help`: `word` is no command, but the first word of some. */
export function helpOfGroup(word: string, commands: Listed): string {
  return `Usage: postern ${word} <command> [options]

Commands
${listOf(commands)}

What a command takes: postern ${word} <command> --help
`;
}

/** `postern sql roles --help` */
export function helpOfCommand(
  words: string,
  { summary, options = {}, operands = [], notes }: Described,
): string {
  const rows = Object.entries(options).map(
    ([name, { value, multiple, help }]) =>
      [
        value === undefined ? `--${name}` : `--${name} ${value}`,
        multiple === true ? `${help}; may be repeated` : help,
      ] as const,
  );
  const usage = ['postern', words, ...(rows.length > 0 ? ['[options]'] : []), ...operands].join(' ');
  const blocks = [
    `Usage: ${usage}`,
    `${summary[0]?.toUpperCase()}${summary.slice(1)}.`,
    ...(rows.length > 0 ? [`Options\n${columns(rows)}`] : []),
    ...(notes === undefined ? [] : [notes]),
  ];
  return `${blocks.join('\n\n')}\n`;
}
