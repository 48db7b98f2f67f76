/** The commands of this plugin that need no config. */
import type { StandaloneCommand } from '../../core/index.ts';
import { SETUP } from './setup-sql.ts';

/** By their words. */
export const commands: Readonly<Record<string, StandaloneCommand>> = {
  'sql passwords': {
    summary: 'prints the SQL by which a database is asked for the passwords of its roles',
    notes: `Run it once, as a superuser, with a password for the role that asks in the environment:
  POSTERN_PASSWORDS_PASSWORD=$(cat passwords.password) psql -v ON_ERROR_STOP=1 -f passwords.sql orders`,
    run() {
      process.stdout.write(SETUP);
      return 0;
    },
  },
};
