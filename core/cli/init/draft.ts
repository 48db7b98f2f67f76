/** The config that `postern init` writes: one database, the tokens of one issuer, an allow-list of roles. */
import type { DatabaseOptions, HostAddress, UpstreamTls } from '../../contract/database.ts';
import type { ListenOptions } from '../../contract/listen.ts';
import type { Draft } from '../written/config-text.ts';
import { Expression, Members, call, fromEnv } from '../written/source.ts';
import type { Value } from '../written/source.ts';
import type { Variables } from '../written/variables.ts';
import type { FromParameters } from './parameters.ts';

/** What was asked for, with every default in place. */
export interface Wanted {
  readonly listen: Pick<ListenOptions, 'host' | 'port'>;
  readonly hosts: readonly HostAddress[];
  /** On the server, and as clients call it. */
  readonly database: string;
  readonly tls: UpstreamTls | undefined;
  readonly parameters: FromParameters;
  readonly login: 'password' | 'trust';
  readonly roles: readonly string[];
  readonly issuer: string;
  readonly audience: string;
  readonly jwks: string | undefined;
  readonly claim: string;
}

function addressOf({ hosts }: Wanted): Pick<DatabaseOptions, 'port'> & { readonly host: Value } {
  const [first, ...others] = hosts;
  const port = first?.port;
  const host: Value =
    others.length === 0
      ? (first?.host ?? '')
      : hosts.map((one) => (one.port === port ? one.host : { host: one.host, port: one.port ?? 5432 }));
  return { host, ...(port !== undefined && { port }) };
}

function loginOf({ login, roles }: Wanted, variables: Variables): Value {
  if (login === 'trust') return { kind: 'trust' };
  const passwords = roles.map((role) => [role, fromEnv(variables.for(role, role))] as const);
  return { kind: 'password', passwords: Object.fromEntries(passwords) };
}

function tlsComment({ hosts, tls }: Wanted): readonly string[] {
  if (hosts.some(({ host }) => host.startsWith('/'))) return [];
  const mode = tls?.mode ?? 'verify-full';
  if (mode === 'disable') return ['Without TLS: for a network that is this machine only.'];
  if (mode === 'require') return ['Encrypted, and not verified: whoever stands between can read everything.'];
  const ca = tls?.ca === undefined ? 'of the system; ca: a PEM file of others' : 'in the file';
  return [`The certificate of the server is verified by the authorities ${ca}.`];
}

function entry(wanted: Wanted, variables: Variables): Members {
  const { host, port } = addressOf(wanted);
  const { target, defaults } = wanted.parameters;
  const several = wanted.hosts.length > 1;
  const { tls } = wanted;
  return new Members([
    { name: 'host', value: host },
    { name: 'port', value: port },
    {
      name: 'target',
      value: target ?? (several ? 'primary' : undefined),
      above: ["Which of the servers sessions get: 'primary', 'replica', 'prefer-replica' or 'any'."],
    },
    {
      name: 'tls',
      value: tls && { ...(tls.mode && { mode: tls.mode }), ...(tls.ca !== undefined && { ca: tls.ca }) },
      above: tlsComment(wanted),
    },
    {
      name: 'login',
      value: loginOf(wanted, variables),
      above:
        wanted.login === 'trust'
          ? ['pg_hba.conf lets the gateway in without a password: a unix socket, or a lab.']
          : ['The gateway logs in as the role that the token names, with the password of that role.'],
    },
    { name: 'startup', value: defaults && { default: { ...defaults } } },
  ]);
}

/** The config before it is text. @param variables get the names of the passwords */
export function draftOf(wanted: Wanted, variables: Variables): Draft {
  const { issuer, audience, jwks, claim, roles, parameters } = wanted;
  const keys = jwks === undefined ? {} : { jwks };
  return {
    about:
      'A gateway in front of one database, for the tokens of one issuer. `postern check` says whether it is valid.',
    remarks:
      parameters.remarks.length === 0 ? [] : ['Of the URL, not taken over as it is:', ...parameters.remarks],
    listen: { ...wanted.listen },
    listenAbove: [
      "Where clients connect. Beyond this machine: host: '0.0.0.0' and tls: { cert: 'server.crt', key: 'server.key' }.",
    ],
    databases: new Members([
      { name: wanted.database, value: entry(wanted, variables), above: ['By the name that clients use.'] },
    ]),
    plugins: [
      {
        folder: 'jwt',
        factory: 'jwt',
        source: call('jwt', { issuers: [{ issuer, audience, ...keys }] }),
        above: ['Verifies the token that clients give as their password.'],
      },
      {
        folder: 'roles',
        factory: 'roles',
        source: call('roles', { claim, allow: roles }),
        above: [`The claim ${claim} of the token names the role; no other role is ever taken.`],
      },
    ],
    more: [
      {
        name: 'drainTimeout',
        value: new Expression("'30s'"),
        above: ['How long transactions may go on after SIGTERM.'],
      },
    ],
  };
}
