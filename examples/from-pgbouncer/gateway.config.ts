/** Step 1: what PgBouncer does, with its own list of passwords. */
import { defineConfig } from 'postern';
import { passwords } from 'postern/plugins/passwords';
import { roles } from 'postern/plugins/roles';
import { databases, listen } from './common.ts';

export default defineConfig({
  listen: { ...listen, auth: 'scram' },
  databases,
  plugins: [passwords({ file: 'userlist.txt' }), roles({ claim: 'sub', allow: ['shop'] })],
});
