/** What a benchmark is told: `npm run bench -- [name] [options]`. */
import { parseArgs } from 'node:util';
import type { Backdrop } from './backdrop.ts';
import type { Table } from './table.ts';
import { VARIANTS } from './variants.ts';

/** The options that benchmarks take, as texts of `parseArgs`; `--json` and `--help` are everybody's. */
const OPTIONS = {
  seconds: { type: 'string' },
  only: { type: 'string' },
  with: { type: 'string' },
  mode: { type: 'string' },
  tls: { type: 'boolean' },
  floor: { type: 'boolean' },
  clients: { type: 'string' },
  megabytes: { type: 'string' },
} as const;

/** The name of an option. */
export type OptionName = keyof typeof OPTIONS;

/** What was given, with defaults. */
export interface Options {
  /** How long each figure is measured. */
  readonly seconds: number;
  /** Only loads whose name contains this. */
  readonly only: string;
  /** Variants, comma-separated. */
  readonly with: string;
  /** How the gateway and PgBouncer pool. */
  readonly mode: 'session' | 'transaction';
  /** Whether clients talk TLS to them. */
  readonly tls: boolean;
  /** Whether a Node program that only reads and writes is a peer as well. */
  readonly floor: boolean;
  readonly clients: number;
  readonly megabytes: number;
}

/** One benchmark. */
export interface Benchmark {
  /** What it measures, for `--help`. */
  readonly summary: string;
  /** The options it takes, with their defaults. */
  readonly options: Partial<Options>;
  run(backdrop: Backdrop, options: Options): Promise<Table>;
}

/** What to do: a benchmark with its options, or only to print the help. */
export interface Command {
  readonly benchmark: Benchmark;
  readonly options: Options;
  readonly json: boolean;
  readonly help: boolean;
}

/** Something is wrong with the command line; its message says what there is. */
export class UsageError extends Error {}

const NOTHING: Options = {
  seconds: 9,
  only: '',
  with: '',
  mode: 'session',
  tls: false,
  floor: false,
  clients: 0,
  megabytes: 0,
};

function positive(name: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new UsageError(`--${name} ${text}: a whole number above 0 is needed`);
}

function variants(names: string): string {
  const stranger = names.split(',').find((name) => name !== '' && !Object.hasOwn(VARIANTS, name));
  if (stranger === undefined) return names;
  throw new UsageError(`--with ${stranger}: there are ${Object.keys(VARIANTS).join(', ')}`);
}

function mode(text: string): Options['mode'] {
  if (text === 'session' || text === 'transaction') return text;
  throw new UsageError(`--mode ${text}: there are session, transaction`);
}

function given(name: OptionName, value: string | boolean): string | boolean | number {
  if (typeof value === 'boolean' || name === 'only') return value;
  if (name === 'mode') return mode(value);
  return name === 'with' ? variants(value) : positive(name, value);
}

function parse(args: readonly string[]) {
  try {
    const options = { ...OPTIONS, json: { type: 'boolean' }, help: { type: 'boolean' } } as const;
    return parseArgs({ args: [...args], allowPositionals: true, options });
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

/** Reads the command line; without a name it is the first of `all`. @throws UsageError */
export function commandOf(args: readonly string[], all: Readonly<Record<string, Benchmark>>): Command {
  const { values, positionals } = parse(args);
  const { json = false, help = false, ...rest } = values;
  const [name = Object.keys(all)[0] ?? '', ...more] = positionals;
  const benchmark = Object.hasOwn(all, name) ? all[name] : undefined;
  if (!benchmark || more.length > 0)
    throw new UsageError(`${[name, ...more].join(' ')}: there are ${Object.keys(all).join(', ')}`);
  const own = Object.entries(rest) as [OptionName, string | boolean][];
  const stranger = own.find(([option]) => !(option in benchmark.options));
  if (stranger) throw new UsageError(`--${stranger[0]}: ${name} takes ${optionsOf(benchmark)}`);
  const chosen = Object.fromEntries(own.map(([option, value]) => [option, given(option, value)]));
  return { benchmark, json, help, options: { ...NOTHING, ...benchmark.options, ...chosen } };
}

function optionsOf({ options }: Benchmark): string {
  return ['json', ...Object.keys(options)].map((name) => `--${name}`).join(', ');
}

/** What `--help` prints. */
export function helpOf(all: Readonly<Record<string, Benchmark>>): string {
  const blocks = Object.entries(all).map(([name, { summary, options }]) => {
    const own = Object.entries(options).map(([option, value]) =>
      typeof value === 'boolean' ? `[--${option}]` : `[--${option} ${value === '' ? '…' : String(value)}]`,
    );
    return `  ${name.padEnd(9)} ${summary}\n            ${['[--json]', ...own].join(' ')}`;
  });
  return [
    'npm run bench [-- NAME OPTIONS]: the gateway beside its peers, in one run on this machine. Ratios hold;',
    'absolute figures are this machine’s. Values shown are the defaults; the first is what runs without a name.',
    '',
    ...blocks,
    '',
    `  --with takes ${Object.keys(VARIANTS).join(', ')}, or several with commas`,
  ].join('\n');
}
