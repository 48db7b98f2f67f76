/** The command that runs this example: `postern demo`, and so `npm start`. */
import { UsageError, valueOf } from '../../core/cli/command-line.ts';
import type { Command, CommandLine } from '../../core/contract/command.ts';

function portOf(line: CommandLine): number | undefined {
  const given = valueOf(line, 'port');
  if (given === undefined) return undefined;
  if (/^\d{1,5}$/.test(given) && Number(given) <= 65_535) return Number(given);
  throw new UsageError(`--port ${given} is not a port`, 'demo');
}

/** By their words. */
export const commands: Readonly<Record<string, Command>> = {
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
      return (await import('./demo.ts')).demo(options);
    },
  },
};
