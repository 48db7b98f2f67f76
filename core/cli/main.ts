/** The command line: which command, with which options; each command's own modules are loaded only when it runs. */
import { parseArgs } from 'node:util';
import type { ParseArgsConfig } from 'node:util';
import { didYouMean } from '../config/nearest-name.ts';
import { ConfigError } from '../errors.ts';
import { ownVersion } from '../gateway/own-version.ts';
import type { Wanted } from './token.ts';

const USAGE = `Usage: postern <command> [options]

Commands
  start      runs the gateway until SIGTERM or SIGINT; a second signal does not wait for transactions
  check      reads the config, says what is wrong with it or what it would run, and starts nothing
  sql roles  prints the SQL and the lines of pg_hba.conf that the databases of a config need
  token DB   asks a gateway with the plugin access for a token to a database, and prints only that
  connect DB asks for one, and runs psql with it: connect DB [-- arguments of psql]
  demo       runs a gateway in front of a temporary PostgreSQL, and shows what it does
  access key makes an API key, where the config has the plugin access
  and those that plugins of the config bring, such as sql claims

Options
  --config FILE    start, check, sql: the config. Default: gateway.config.ts in the current folder
  --database NAME  sql: only for this database, by the name that clients use
  --role ROLE      sql: for this role instead of those that the plugins map; may be repeated
  --role ROLE      token, connect: the role to have. Default: the only one there is for you
  --duration TIME  token, connect: how long, such as 15m. Default: as the policy says
  --reason TEXT    token, connect: why, for those who read the log
  --server URL     token, connect: the gateway's admin address. Default: $POSTERN_SERVER
  --credential FILE
                   token, connect: has your token or API key in it. Default: $POSTERN_CREDENTIAL_FILE, or the
                   text in $POSTERN_CREDENTIAL
  --fresh          token, connect: asks although there is a token that is good
  --no-watch       start: reloads the config at SIGHUP only, not when its file changes
  --database URL   demo: uses this PostgreSQL server as superuser instead of a temporary one
  --port N         demo: where the gateway listens. Default: 6432, or a free port if that is taken
  --verbose        demo: shows the gateway's log
  --help, --version
`;

type Options = NonNullable<ParseArgsConfig['options']>;
type Values = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

interface Command {
  readonly options: Options;
  /** The word that has to stand behind the command. Default: none may. */
  readonly topic?: string;
  /** Whether a database has to stand there, and whether more may. Default: neither. */
  readonly operands?: 'database' | 'database and more';
  /** Resolves with the exit code when the command is done. */
  run(values: Values, operands: readonly string[]): Promise<number>;
}

/** A command line that cannot be understood. */
class UsageError extends Error {}
/** One that would be understood if a plugin had the command. */
class UnknownCommand extends UsageError {}

const text = (values: Values, name: string): string | undefined => {
  const value = values[name];
  return typeof value === 'string' ? value : undefined;
};

const texts = (values: Values, name: string): readonly string[] => {
  const value = values[name];
  return typeof value === 'object' ? value : [];
};

function port(values: Values): number | undefined {
  const given = text(values, 'port');
  if (given === undefined) return undefined;
  if (!/^\d{1,5}$/.test(given) || Number(given) > 65_535)
    throw new UsageError(`--port ${given} is not a port`);
  return Number(given);
}

const ASK: Options = Object.fromEntries(
  ['role', 'duration', 'reason', 'server', 'credential'].map((name) => [name, { type: 'string' }]),
);

function wanted(values: Values, database: string): Wanted {
  const [role, duration, reason] = [text(values, 'role'), text(values, 'duration'), text(values, 'reason')];
  const [server, credential] = [text(values, 'server'), text(values, 'credential')];
  return { database, role, duration, reason, server, credential, fresh: values['fresh'] === true };
}

const COMMANDS: Readonly<Record<string, Command>> = {
  start: {
    options: { config: { type: 'string' }, 'no-watch': { type: 'boolean' } },
    run: async (values) => {
      const options = { config: text(values, 'config'), watch: values['no-watch'] !== true };
      return (await import('./start.ts')).start(options);
    },
  },
  check: {
    options: { config: { type: 'string' } },
    run: async (values) => (await import('./check.ts')).check(text(values, 'config')),
  },
  sql: {
    topic: 'roles',
    options: {
      config: { type: 'string' },
      database: { type: 'string' },
      role: { type: 'string', multiple: true },
    },
    run: async (values) => {
      const asked = { database: text(values, 'database'), roles: texts(values, 'role') };
      return (await import('./sql.ts')).printRoles(text(values, 'config'), asked);
    },
  },
  token: {
    operands: 'database',
    options: { ...ASK, fresh: { type: 'boolean' } },
    run: async (values, [database = '']) => (await import('./token.ts')).printToken(wanted(values, database)),
  },
  connect: {
    operands: 'database and more',
    options: { ...ASK, fresh: { type: 'boolean' } },
    run: async (values, [database = '', ...more]) =>
      (await import('./connect.ts')).connect(wanted(values, database), more),
  },
  demo: {
    options: { database: { type: 'string' }, port: { type: 'string' }, verbose: { type: 'boolean' } },
    run: async (values) => {
      const options = {
        database: text(values, 'database'),
        port: port(values),
        verbose: values['verbose'] === true,
      };
      return (await import('./demo/demo.ts')).demo(options);
    },
  },
};

const GLOBAL = { help: { type: 'boolean' }, version: { type: 'boolean' } } as const satisfies Options;

/** One command line, understood. */
interface Parsed {
  readonly command: Command | undefined;
  readonly values: Values;
  readonly operands: readonly string[];
}

function parse(args: readonly string[]): Parsed {
  const [name = ''] = args;
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command && name !== '' && !name.startsWith('-'))
    throw new UnknownCommand(`there is no command '${name}'${didYouMean(name, Object.keys(COMMANDS))}`);
  try {
    const options: Options = { ...GLOBAL, ...command?.options };
    const allowPositionals = command?.topic !== undefined || command?.operands !== undefined;
    const how = { args: args.slice(command ? 1 : 0), options, strict: true, allowPositionals };
    const { values, positionals } = parseArgs(how);
    const operands = command?.operands === undefined ? [] : positionals;
    return { command: command && about(name, command, positionals), values: values as Values, operands };
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** The command, which refuses to run without its topic; help needs none. */
function about(name: string, command: Command, positionals: readonly string[]): Command {
  if (command.operands !== undefined) return withDatabase(name, command, positionals);
  if (positionals.join(' ') === (command.topic ?? '')) return command;
  const run = (): never => {
    const write = `write '${name} ${command.topic}'`;
    if (positionals.length === 0) throw new UsageError(`'${name}' needs to know what: ${write}`);
    throw new UnknownCommand(
      `there is no command '${[name, ...positionals].join(' ')}': ${write}, or one that a plugin of the config brings`,
    );
  };
  return { ...command, run };
}

function withDatabase(name: string, command: Command, [database, ...more]: readonly string[]): Command {
  const fits = database !== undefined && (more.length === 0 || command.operands !== 'database');
  if (fits) return command;
  const run = (): never => {
    throw new UsageError(
      database === undefined ? `'${name}' needs a database` : `one database for '${name}'`,
    );
  };
  return { ...command, run };
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

async function ownCommand(args: readonly string[]): Promise<number> {
  const { command, values, operands } = parse(args);
  if (values['version'] === true) process.stdout.write(`${ownVersion()}\n`);
  else if (values['help'] === true) process.stdout.write(USAGE);
  else if (command) return command.run(values, operands);
  else throw new UsageError('a command is missing, such as postern start');
  return 0;
}

/** A command that is not ours may be one that a plugin of the config brings. @throws `error` if it is not */
async function pluginsCommand(args: readonly string[], error: unknown): Promise<number> {
  if (!(error instanceof UnknownCommand)) throw error;
  const run = await (await import('./plugin-command.ts')).pluginCommand(args);
  if (!run) throw error;
  return run();
}

/**
 * Runs one command line (without `node` and the script). Resolves with the exit code: 0 done, 1 failed with the reason
 * on stderr, 2 not understood. Never rejects.
 */
export async function main(args: readonly string[]): Promise<number> {
  try {
    return await ownCommand(args).catch((error: unknown) => pluginsCommand(args, error));
  } catch (error) {
    const usage = error instanceof UsageError;
    const help = usage ? '\nThe commands and their options: postern --help' : '';
    process.stderr.write(`postern: ${sentence(error)}${help}\n`);
    return usage ? 2 : 1;
  }
}
