/** The command line: finds the command, gives help, and says what went wrong. */
import type { Command } from '../contract/command.ts';
import { didYouMean, nearestName } from '../config/nearest-name.ts';
import { ConfigError } from '../contract/errors.ts';
import { findConfig, loadConfig } from '../load.ts';
import { ownVersion } from '../own-version.ts';
import { UsageError, commandLineOf, configIn, stands, wordsIn } from './command-line.ts';
import { COMMANDS } from './commands.ts';
import { helpOf, helpOfCommand, helpOfGroup } from './help.ts';
import { commandsOf, standaloneCommands } from './plugin-commands.ts';

type Table = Readonly<Record<string, Command>>;

interface Found {
  readonly words: string;
  readonly command: Command;
}

const HELP = ['--help', '-h'];
const VERSION = ['--version', '-V', '-v'];

/** The command that the first words call, the longest name first. */
function findIn(commands: Table, words: readonly string[]): Found | undefined {
  for (let count = words.length; count > 0; count -= 1) {
    const name = words.slice(0, count).join(' ');
    const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
    if (command) return { words: name, command };
  }
  return undefined;
}

/** Those whose first word this is. */
function groupOf(word: string, commands: Table): Table {
  return Object.fromEntries(Object.entries(commands).filter(([words]) => words.startsWith(`${word} `)));
}

/** The command that was probably meant. */
function nearest(words: readonly string[], commands: Table): string | undefined {
  const [first = '', second = ''] = words;
  const behind = Object.keys(groupOf(first, commands)).map((name) => name.slice(first.length + 1));
  if (behind.length > 0) {
    const near = nearestName(second, behind);
    return near === undefined ? undefined : `${first} ${near}`;
  }
  const names = Object.keys(commands);
  const pairs = names.filter((name) => name.includes(' '));
  const firsts = [...names.map((name) => name.replace(/ .*/, '')), 'help', 'version'];
  return nearestName(`${first} ${second}`, pairs) ?? nearestName(first, firsts);
}

/** @param more a sentence for where no other command can have been meant. Default: none */
function unknown(words: readonly string[], commands: Table, more = ''): UsageError {
  const [first = ''] = words;
  const group = Object.keys(groupOf(first, commands));
  const topic = group.length > 0 ? first : '';
  if (topic !== '' && words.length === 1)
    return new UsageError(`'${first}' needs to know what: ${group.join(', ')}`, topic);
  const near = nearest(words, commands);
  const others = topic === '' ? '' : `; there is ${group.join(', ')}`;
  const instead = near === undefined ? `${others}${more}` : `; did you mean '${near}'?`;
  const name = words.slice(0, topic === '' ? 1 : 2).join(' ');
  return new UsageError(`there is no command '${name}'${instead}`, topic);
}

/** The commands of a config, if there is one. @throws UsageError for one that does not load; ConfigError for one that is named and is not there */
async function fromConfig(args: readonly string[], known: Table): Promise<Table> {
  const given = configIn(args);
  let path: string;
  try {
    path = findConfig(process.cwd(), given);
  } catch (error) {
    if (given === undefined) return {};
    throw error;
  }
  try {
    return commandsOf(await loadConfig(path));
  } catch (error) {
    const why = `; a plugin of the config could bring it, but that does not load: ${sentence(error)}`;
    throw unknown(wordsIn(args), known, why);
  }
}

/** As many commands as it takes to know the one that the words call, or those that begin with the one word there is. */
async function commandsFor(args: readonly string[], words: readonly string[]): Promise<Table> {
  if (findIn(COMMANDS, words)) return COMMANDS;
  const known = { ...COMMANDS, ...(await standaloneCommands()) };
  const [first] = words;
  if (first === undefined || findIn(known, words)) return known;
  if (words.length === 1 && Object.keys(groupOf(first, known)).length > 0) return known;
  return { ...(await fromConfig(args, known)), ...known };
}

async function find(args: readonly string[]): Promise<Found> {
  const words = wordsIn(args);
  const commands = await commandsFor(args, words);
  const found = findIn(commands, words);
  if (found) return found;
  throw unknown(words, commands);
}

/** @param args the words of a command, and perhaps its `--config` */
async function help(args: readonly string[]): Promise<string> {
  const words = wordsIn(args).filter((word) => !['help', 'version'].includes(word));
  const commands = await commandsFor(args, words);
  const [first] = words;
  if (first === undefined) return helpOf(commands);
  const found = findIn(commands, words);
  if (found) return helpOfCommand(found.words, found.command);
  const group = words.length === 1 ? groupOf(first, commands) : {};
  if (Object.keys(group).length > 0) return helpOfGroup(first, group);
  throw unknown(words, commands);
}

function withoutCommand([first]: readonly string[]): UsageError {
  if (first === undefined) return new UsageError('a command is missing, such as postern start');
  const near = didYouMean(first, ['--help', '--version']);
  return new UsageError(`a command has to stand before ${first}${near}`);
}

async function run(args: readonly string[]): Promise<number> {
  const [first = ''] = args;
  if (first === 'help') return print(await help(args.slice(1)));
  if (stands(args, ...HELP)) return print(await help(args.filter((arg) => !HELP.includes(arg))));
  if (first === 'version' || VERSION.includes(first)) return print(`${ownVersion()}\n`);
  if (wordsIn(args).length === 0) throw withoutCommand(args);
  const { words, command } = await find(args);
  const behind = args.slice(words.split(' ').length);
  return command.run(commandLineOf(behind, command, words));
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

/** A message with those of its causes. */
function withCauses(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${withCauses(error.cause)}`;
}

/** What a person can act on; anything else keeps its stack for the report they will write. */
function sentence(error: unknown): string {
  if (error instanceof ConfigError || error instanceof UsageError) return error.message;
  return error instanceof Error && !('code' in error) ? (error.stack ?? error.message) : withCauses(error);
}

/**
 * Runs one command line (without `node` and the script). Resolves with the exit code: 0 done, 1 failed with the reason
 * on stderr, 2 not understood. Never rejects.
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await run(args);
  } catch (error) {
    const more =
      error instanceof UsageError
        ? `\nMore: ${['postern', error.words, '--help'].filter(Boolean).join(' ')}`
        : '';
    process.stderr.write(`postern: ${sentence(error)}${more}\n`);
    return error instanceof UsageError ? 2 : 1;
  }
}
