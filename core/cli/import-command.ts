/** The command `import`: what it takes, for its help; the rest is loaded only when it runs. */
import type { Command } from '../contract/command.ts';

/** `postern import`. */
export const IMPORT: Command = {
  summary: 'writes a config that does what a pgbouncer.ini says, and says line by line what it cannot do',
  options: {
    user: {
      value: 'NAME',
      multiple: true,
      help: 'a user that logs in, besides those of auth_file: where auth_query has them, nobody else knows',
    },
    config: { value: 'FILE', help: 'the file to write. Default: gateway.config.ts in the current folder' },
    force: { help: 'replaces a file that is there' },
  },
  operands: ['PGBOUNCER.INI'],
  notes: `Files that it includes and its auth_file are read as well; a path that is relative is looked for beside it first. No password
is written down: the config reads those of the roles from variables of the environment, which are named on standard error.
What has no equivalent stands there too, by file and line, and as comments in the config. The exit code is 1 if that is not valid yet.`,
  run: async (line) => (await import('./import.ts')).importPgBouncer(line),
};
