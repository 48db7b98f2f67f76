/** Step 2: the user `_` is asked for a token, and every other one for a password, until a day. */
import { defineConfig } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { passwords } from 'postern/plugins/passwords';
import { roles } from 'postern/plugins/roles';
import { databases, listen } from './common.ts';

const ISSUER = 'https://id.example';

export default defineConfig({
  listen: { ...listen, auth: { default: 'scram', password: { users: ['_'] } } },
  databases,
  plugins: [
    jwt({ issuers: [{ issuer: ISSUER, audience: 'postern', jwks: 'jwks.json' }] }),
    passwords({ file: 'userlist.txt', until: '2027-06-30' }),
    roles([
      { issuer: 'password:', claim: 'sub', allow: ['shop'] },
      { issuer: ISSUER, claim: 'role', allow: ['shop'] },
    ]),
  ],
});
