/** The commands of Postern itself; the modules of each are loaded only when it runs. */
import type { Command, CommandLine, CommandOption } from '../command.ts';
import { UsageError, valueOf } from './command-line.ts';
import type { Wanted } from './token.ts';

/** Taken by every command that reads a config. */
export const CONFIG: CommandOption = {
  value: 'FILE',
  help: 'the config. Default: gateway.config.ts in the current folder',
};

const ASK: Readonly<Record<string, CommandOption>> = {
  role: { value: 'ROLE', help: 'the role to have. Default: the only one there is for you' },
  duration: { value: 'TIME', help: 'how long, such as 15m. Default: as the policy says' },
  reason: { value: 'TEXT', help: 'why, for those who read the log' },
  server: { value: 'URL', help: "the gateway's admin address. Default: $POSTERN_SERVER" },
  credential: {
    value: 'FILE',
    help: 'has your token or API key in it. Default: $POSTERN_CREDENTIAL_FILE, or the text in $POSTERN_CREDENTIAL',
  },
  fresh: { help: 'asks although there is a token that is good' },
};

function wanted(line: CommandLine): Wanted {
  const of = (name: string): string | undefined => valueOf(line, name);
  return {
    database: line.operands[0] ?? '',
    role: of('role'),
    duration: of('duration'),
    reason: of('reason'),
    server: of('server'),
    credential: of('credential'),
    fresh: of('fresh') !== undefined,
  };
}

function portOf(line: CommandLine): number | undefined {
  const given = valueOf(line, 'port');
  if (given === undefined) return undefined;
  if (/^\d{1,5}$/.test(given) && Number(given) <= 65_535) return Number(given);
  throw new UsageError(`--port ${given} is not a port`, 'demo');
}

/** By their words. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  start: {
    summary:
      'runs the gateway of a config until SIGTERM or SIGINT; a second signal does not wait for transactions',
    options: {
      config: CONFIG,
      'no-watch': { help: 'reloads the config at SIGHUP only, not when its file changes' },
    },
    run: async (line) => {
      const options = { config: valueOf(line, 'config'), watch: valueOf(line, 'no-watch') === undefined };
      return (await import('./start.ts')).start(options);
    },
  },
  check: {
    summary: 'reads a config, says what is wrong with it or what it would run, and starts nothing',
    options: { config: CONFIG },
    run: async (line) => (await import('./check.ts')).check(valueOf(line, 'config')),
  },
  demo: {
    summary: 'runs a gateway in front of a temporary PostgreSQL, and shows what it does',
    options: {
      database: {
        value: 'URL',
        help: 'uses this PostgreSQL server, as superuser, instead of a temporary one',
      },
      port: { value: 'N', help: 'where the gateway listens. Default: 6432, or a free port if that is taken' },
      verbose: { help: "shows the gateway's log" },
    },
    run: async (line) => {
      const options = {
        database: valueOf(line, 'database'),
        port: portOf(line),
        verbose: valueOf(line, 'verbose') !== undefined,
      };
      return (await import('./demo/demo.ts')).demo(options);
    },
  },
  token: {
    summary: 'asks a gateway (its plugin access) for a token to a database, and prints only that',
    options: ASK,
    operands: ['DATABASE'],
    run: async (line) => (await import('./token.ts')).printToken(wanted(line)),
  },
  connect: {
    summary: 'asks a gateway for a token to a database, and runs psql with it',
    options: ASK,
    operands: ['DATABASE', '[-- PSQL-ARGUMENT…]'],
    run: async (line) => (await import('./connect.ts')).connect(wanted(line), line.operands.slice(1)),
  },
  'sql roles': {
    summary: 'prints the SQL and the lines of pg_hba.conf that the databases of a config need',
    options: {
      config: CONFIG,
      database: { value: 'NAME', help: 'only for this database, by the name that clients use' },
      role: {
        value: 'ROLE',
        multiple: true,
        help: 'for this role instead of those that the plugins map',
      },
    },
    run: async (line) => {
      const asked = { database: valueOf(line, 'database'), roles: line.options['role'] ?? [] };
      return (await import('./sql.ts')).printRoles(valueOf(line, 'config'), asked);
    },
  },
};
