/** The command `init`: what it takes, for its help; the rest is loaded only when it runs. */
import type { Command } from '../contract/command.ts';

/** `postern init`. */
export const INIT: Command = {
  summary: 'writes a config for one database and the tokens of one issuer, and prints the SQL for its roles',
  options: {
    issuer: { value: 'URL', help: 'whose tokens are good, as they have it in iss. Needed' },
    audience: { value: 'NAME', help: 'what tokens have in aud. Default: postern' },
    jwks: { value: 'URL|FILE', help: 'where the keys of the issuer are. Default: where the issuer says' },
    claim: { value: 'NAME', help: 'the claim that names the role. Default: role' },
    role: {
      value: 'ROLE',
      multiple: true,
      help: 'a role that tokens may name. Default: the user of the URL, or app',
    },
    login: {
      value: 'KIND',
      help: 'how the gateway logs in: password, or trust on a unix socket. Default: password',
    },
    tls: {
      value: 'MODE',
      help: 'towards the server: disable, require, verify-ca or verify-full. Default: sslmode of the URL, or verify-full unless the server is this machine',
    },
    ca: {
      value: 'FILE',
      help: "PEM file of the server's authorities. Default: sslrootcert of the URL, or the system's",
    },
    host: { value: 'HOST[:PORT]', multiple: true, help: 'a server, instead of those in the URL' },
    database: { value: 'NAME', help: 'instead of the one in the URL' },
    listen: { value: '[HOST:]PORT', help: 'where clients connect. Default: 127.0.0.1:6432' },
    config: { value: 'FILE', help: 'the file to write. Default: gateway.config.ts in the current folder' },
    force: { help: 'replaces a file that is there' },
  },
  operands: ['[URL]'],
  notes: `URL is a connection URI of PostgreSQL, with one host or several:
  postern init postgres://db.example:5432/orders --issuer https://id.example > roles.sql
A password in it is not written down: the file reads it from a variable of the environment, which is named on standard error.
The SQL goes to standard output. Nothing is asked, and nothing is connected to.`,
  run: async (line) => (await import('./init.ts')).init(line),
};
