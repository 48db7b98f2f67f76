/** The commands of this plugin that need no config. */
import type { StandaloneCommand } from '../../core/index.ts';
import { INSTALL } from './install.ts';

/** By their words. */
export const commands: Readonly<Record<string, StandaloneCommand>> = {
  'sql claims': {
    summary: 'prints the SQL by which a database checks the signed claims of the plugin claims',
    notes: `Run it in each database, with the key in the environment:
  POSTERN_CLAIMS_KEY=$(cat claims.key) psql -v ON_ERROR_STOP=1 -f claims.sql orders`,
    run() {
      process.stdout.write(INSTALL);
      return 0;
    },
  },
};
