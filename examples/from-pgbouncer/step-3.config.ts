/** Step 3: tokens only. */
import { defineConfig } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
import { databases, listen } from './common.ts';

export default defineConfig({
  listen,
  databases,
  plugins: [
    jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'jwks.json' }] }),
    roles({ claim: 'role', allow: ['shop'] }),
  ],
});
