/** The commands of Postern itself; the modules of each are loaded only when it runs. */
import type { Command, CommandOption } from '../contract/command.ts';
import { valueOf } from './command-line.ts';
import { IMPORT } from './import-command.ts';
import { INIT } from './init-command.ts';

/** Taken by every command that reads a config. */
export const CONFIG: CommandOption = {
  value: 'FILE',
  help: 'the config. Default: gateway.config.ts in the current folder',
};

/** By their words. */
export const COMMANDS: Readonly<Record<string, Command>> = {
  start: {
    summary:
      'runs the gateway of a config until SIGTERM or SIGINT; a second signal does not wait for transactions',
    options: {
      config: CONFIG,
      'no-watch': { help: 'reloads the config at SIGHUP only, not when its file changes' },
    },
    notes: `SIGHUP reloads the config. SIGUSR2 replaces the workers one after the other by new processes, where there are two or more:
nobody is refused meanwhile.`,
    run: async (line) => {
      const options = { config: valueOf(line, 'config'), watch: valueOf(line, 'no-watch') === undefined };
      return (await import('./start.ts')).start(options);
    },
  },
  init: INIT,
  import: IMPORT,
  check: {
    summary: 'reads a config, says what is wrong with it or what it would run, and starts nothing',
    options: {
      config: CONFIG,
      online: {
        help: 'asks all that the config names whether it is there: servers as each role, issuers, plugins',
      },
      database: {
        value: 'NAME',
        multiple: true,
        help: "with --online: a database, by the name that clients use, besides those of the config: for '*', or a function",
      },
    },
    notes: `With --online there is a line for each thing that was asked: ok, warning or error, where the config says it, and a sentence.
Each login and each plugin has 5 seconds, and no connection stays. The exit code is 1 if one of the lines is an error.`,
    run: async (line) => {
      const options = {
        config: valueOf(line, 'config'),
        online: valueOf(line, 'online') !== undefined,
        databases: line.options['database'] ?? [],
      };
      return (await import('./check.ts')).check(options);
    },
  },
  health: {
    summary: 'asks a running gateway on this machine whether it is ready, and prints its answer',
    options: {
      config: CONFIG,
      url: { value: 'URL', help: 'asks there, and reads no config: http://127.0.0.1:9432/readyz' },
      live: { help: 'whether the process answers at all: /livez of admin instead of /readyz' },
    },
    notes: `For supervisors without an HTTP client, as in an image without a shell. The exit code is 1 where it is not ready, or does not answer in 5 seconds.`,
    run: async (line) => {
      const live = valueOf(line, 'live') !== undefined;
      const options = { config: valueOf(line, 'config'), url: valueOf(line, 'url'), live };
      return (await import('./health.ts')).health(options);
    },
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
