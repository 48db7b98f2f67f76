/** A command line, understood by what its command takes. */
import { parseArgs } from 'node:util';
import type { Command, CommandLine } from '../contract/command.ts';
import { didYouMean } from '../config/nearest-name.ts';

/** A command line that cannot be understood; `words` are those of the command whose help says more. */
export class UsageError extends Error {
  readonly words: string;

  constructor(message: string, words = '') {
    super(message);
    this.words = words;
  }
}

/** What a command takes, whether or not it can run by itself. */
export type Takes = Pick<Command, 'options' | 'operands'>;

/** The one value of an option. */
export function valueOf({ options }: CommandLine, name: string): string | undefined {
  return options[name]?.[0];
}

/** Whether an option stands before a `--`, behind which all is for others. */
export function stands(args: readonly string[], ...names: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).some((arg) => names.includes(arg));
}

type Token = NonNullable<ReturnType<typeof parseArgs>['tokens']>[number];
type OptionToken = Extract<Token, { kind: 'option' }>;

function tokensOf(args: readonly string[], { options = {} }: Takes): readonly Token[] {
  const known = Object.entries(options).map(
    ([name, { value }]) => [name, { type: value === undefined ? 'boolean' : 'string' }] as const,
  );
  const how = { strict: false, allowPositionals: true, tokens: true } as const;
  return parseArgs({ ...how, args: [...args], options: Object.fromEntries(known) }).tokens;
}

/** The value of an option as it stands there. @throws UsageError */
function checked({ name, rawName, value, inlineValue }: OptionToken, takes: Takes, words: string): string {
  const options = takes.options ?? {};
  const option = Object.hasOwn(options, name) ? options[name] : undefined;
  if (!option) {
    const known = [...Object.keys(options), 'help'].map((one) => `--${one}`);
    throw new UsageError(`'${words}' has no option ${rawName}${didYouMean(rawName, known)}`, words);
  }
  if (option.value === undefined) {
    if (value === undefined) return '';
    throw new UsageError(`${rawName} takes no value`, words);
  }
  // `--config --role x` is a forgotten value; one that begins with a dash is written `--config=-x`.
  const forgotten = value === undefined || value === '' || (!inlineValue && value.startsWith('-'));
  if (forgotten) throw new UsageError(`${rawName} needs a value: ${rawName} ${option.value}`, words);
  return value;
}

function checkOperands(operands: readonly string[], { operands: wanted = [] }: Takes, words: string): void {
  const missing = wanted.filter((one) => !one.startsWith('['))[operands.length];
  if (missing !== undefined) {
    const usage = [words, ...wanted].join(' ');
    throw new UsageError(`'${words}' needs ${missing.replace('…', '')}: postern ${usage}`, words);
  }
  const more = wanted.some((one) => one.includes('…'));
  const [beyond] = more ? [] : operands.slice(wanted.length);
  if (beyond !== undefined) throw new UsageError(`'${words}' has no use for '${beyond}'`, words);
}

/** What stands behind the words. @throws UsageError that says what is wrong, and what was probably meant */
export function commandLineOf(args: readonly string[], takes: Takes, words: string): CommandLine {
  const options: Record<string, readonly string[]> = {};
  const operands: string[] = [];
  for (const token of tokensOf(args, takes)) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind !== 'option') continue;
    const value = checked(token, takes, words);
    const before = options[token.name] ?? [];
    if (before.length > 0 && takes.options?.[token.name]?.multiple !== true)
      throw new UsageError(`${token.rawName} stands there twice`, words);
    options[token.name] = [...before, value];
  }
  checkOperands(operands, takes, words);
  return { options, operands };
}

/** The value of `--config` in a command line whose command is not known yet. */
export function configIn(args: readonly string[]): string | undefined {
  const takes = { options: { config: { value: 'FILE', help: '' } } };
  const found = tokensOf(args, takes).find((token) => token.kind === 'option' && token.name === 'config');
  return found?.kind === 'option' ? found.value : undefined;
}

/** The words at the beginning, up to the first option or `--`. */
export function wordsIn(args: readonly string[]): readonly string[] {
  const end = args.findIndex((arg) => arg.startsWith('-'));
  return end < 0 ? args : args.slice(0, end);
}
