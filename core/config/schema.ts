/** The shape of a config, as the types in config.ts say it, for values that no compiler has seen. */
import { z } from 'zod';
import type { AdminOptions, GatewayConfig } from '../contract/config.ts';
import { CREDENTIALS } from '../contract/credential.ts';
import type { CredentialChoice, CredentialSigns } from '../contract/credential.ts';
import type { DatabaseOptions, HostAddress } from '../contract/database.ts';
import type { ListenOptions, ListenTls } from '../contract/listen.ts';
import { ConfigError } from '../contract/errors.ts';
import type { StartupRules } from '../contract/startup-rules.ts';
import { TARGETS } from '../contract/target.ts';
import { parameterName } from '../wire/startup-parameters.ts';
import { fleet } from './fleet.ts';
import { configPath, expected } from './sentences.ts';
import {
  choose,
  duration,
  flag,
  func,
  network,
  object,
  oneOf,
  permissions,
  record,
  secret,
  text,
  value,
  whole,
} from './values.ts';

/** PostgreSQL's MaxAllocSize (src/include/utils/memutils.h): no statement can be longer. */
const LARGEST_MESSAGE = 0x3fffffff;

const keyPair: { readonly cert: z.ZodType<string>; readonly key: z.ZodType<string> } = {
  cert: text('the path of a PEM file'),
  key: text('the path of a PEM file'),
};
const port = whole(0, 65_535);

const trusted: z.ZodType<readonly string[]> = z
  .array(network, { error: ({ input }) => expected('a list of networks', input) })
  .min(1, { error: 'at least one proxy is needed; leave proxyProtocol out where there is none' });

const parameter: z.ZodType<string> = value((input) => {
  const wanted = 'the name of a parameter that clients may send';
  return typeof input === 'string' && parameterName(input) !== undefined
    ? undefined
    : expected(wanted, input);
});

const parameters: z.ZodType<readonly string[]> = z.array(parameter, {
  error: ({ input }) => expected('a list of parameters', input),
});

/** A number or a boolean has more than one spelling in PostgreSQL. */
const settingValue: z.ZodType<string> = value((input) =>
  typeof input === 'string' && !input.includes('\0') ? undefined : expected('text', input),
);

const startup = object<StartupRules>({
  ignore: parameters.optional(),
  refuse: parameters.optional(),
  default: record(settingValue).optional(),
});

const signs = object<CredentialSigns>({
  servernames: z
    .array(text('a server name'), { error: ({ input }) => expected('a list of server names', input) })
    .min(1, { error: 'at least one server name is needed' })
    .optional(),
  parameter: flag.optional(),
  users: z
    .array(text('a user'), { error: ({ input }) => expected('a list of users', input) })
    .min(1, { error: 'at least one user is needed' })
    .optional(),
});

/** One credential, or a default with what chooses another. */
const auth = choose<NonNullable<ListenOptions['auth']>>((input) => {
  if (typeof input !== 'object' || input === null) return oneOf(CREDENTIALS);
  return object<CredentialChoice>({
    default: oneOf(CREDENTIALS),
    password: signs.optional(),
    oauthbearer: signs.optional(),
    scram: signs.optional(),
    certificate: signs.optional(),
  });
});

const listenTls = object<ListenTls>({
  ...keyPair,
  clientCa: text('the path of a PEM file').optional(),
  clientCertificate: oneOf(['optional', 'required']).optional(),
  crl: text('the path of a PEM file').optional(),
  servernames: record(object<{ readonly cert: string; readonly key: string }>(keyPair)).optional(),
});

const listener = object<ListenOptions>({
  name: text('a name').optional(),
  host: text('an address').optional(),
  path: text('the folder of a unix socket').optional(),
  mode: permissions.optional(),
  port: port.optional(),
  tls: listenTls.optional(),
  plaintext: oneOf(['never', 'loopback']).optional(),
  proxyProtocol: object<NonNullable<ListenOptions['proxyProtocol']>>({ trusted }).optional(),
  startup: startup.optional(),
  auth: auth.optional(),
});

const host: z.ZodType<string> = value((input) => {
  const wanted = 'a host name, an address, or the folder of a unix socket';
  if (typeof input !== 'string' || input === '' || input.includes('://')) return expected(wanted, input);
  // Such as `me:password@db`, which nobody may read in a log; an IPv6 address comes without brackets.
  if (!input.startsWith('/') && /[\s@[\]]/.test(input)) return expected(wanted, input, true);
  const [, name, number] = /^([^:/]*):(\d+)$/.exec(input) ?? [];
  return name === undefined ? undefined : `write host: '${name}', port: ${number} instead of '${input}'`;
});

const hostAddress = object<HostAddress>({ host, port: whole(1, 65_535).optional() });

/** One host, or several. */
const hosts = choose<DatabaseOptions['host']>((input) => {
  if (!Array.isArray(input)) return host;
  const one = choose<string | HostAddress>((item) => (typeof item === 'object' ? hostAddress : host));
  return z.array(one).min(1, { error: 'at least one host is needed' });
});

type Login = DatabaseOptions['login'];
type LoginOf<K extends Login['kind']> = Extract<Login, { kind: K }>;
type Password = LoginOf<'password'>;
const LOGIN_KINDS = ['password', 'certificate', 'trust', 'set-role'] as const;
/** A certificate that ends sooner would depend on how well two clocks agree. */
const SHORTEST_CERTIFICATE_MS = 60_000;

const passwords = choose<Password['passwords']>((input) =>
  typeof input === 'function' ? func() : record(secret, true),
);

const trustedSql: z.ZodType<true> = value((input) =>
  input === true
    ? undefined
    : "'set-role' is no boundary: whoever sends SQL of their own can say SET ROLE NONE, is then the login role, and may become " +
      "any other. Use 'certificate' or 'password', or say trustedSql: true where only SQL that you wrote passes",
);

const loginOf: { readonly [K in Login['kind']]: z.ZodType<LoginOf<K>> } = {
  password: object<Password>({ kind: oneOf(['password']), passwords }),
  certificate: object<LoginOf<'certificate'>>({
    kind: oneOf(['certificate']),
    ca: text('the path of a PEM file'),
    key: text('the path of a PEM file'),
    lifetime: duration(SHORTEST_CERTIFICATE_MS).optional(),
  }),
  trust: object<LoginOf<'trust'>>({ kind: oneOf(['trust']) }),
  'set-role': object<LoginOf<'set-role'>>({
    kind: oneOf(['set-role']),
    user: text('a role'),
    password: secret,
    trustedSql,
  }),
};

/** Where the kind is wrong, nothing else can be said. */
const wrongLogin = z.looseObject(
  { kind: oneOf(LOGIN_KINDS) },
  { error: ({ input }) => expected(`an object such as { kind: 'password', passwords: … }`, input, true) },
);

const login = choose<Login>((input) => {
  const kind = (input as { readonly kind?: unknown } | null | undefined)?.kind;
  const known = LOGIN_KINDS.find((one) => one === kind);
  return known ? loginOf[known] : (wrongLogin as unknown as z.ZodType<Login>);
});

/** One database entry. */
export const database = object<DatabaseOptions>({
  host: hosts,
  port: whole(1, 65_535).optional(),
  target: oneOf(TARGETS).optional(),
  database: text('a name').optional(),
  tls: object<NonNullable<DatabaseOptions['tls']>>({
    mode: oneOf(['disable', 'require', 'verify-ca', 'verify-full']).optional(),
    ca: text('the path of a PEM file').optional(),
    servername: text('a host name').optional(),
  }).optional(),
  maxProtocolVersion: oneOf(['3.0', '3.2']).optional(),
  login,
  pool: object<NonNullable<DatabaseOptions['pool']>>({
    mode: oneOf(['session', 'transaction']).optional(),
    clientMode: oneOf(['fixed', 'choose']).optional(),
    mostSessions: whole(1, 10_000).optional(),
    size: whole(1, 10_000).optional(),
    perRole: whole(1, 10_000).optional(),
    min: whole(0, 10_000).optional(),
    reserve: whole(0, 10_000).optional(),
    reserveAfter: duration(1).optional(),
    connecting: whole(1, 10_000).optional(),
    connectRate: whole(1, 10_000).optional(),
    share: oneOf(['session', 'subject', 'tenant', 'role']).optional(),
    reset: oneOf(['auto', 'always']).optional(),
    detect: oneOf(['tags', 'calls', 'state']).optional(),
    unknownSettings: oneOf(['reset', 'pin']).optional(),
    queueTimeout: duration(1).optional(),
    idleTimeout: duration(1).optional(),
    maxLifetime: duration(1).optional(),
    reparseAfter: duration(0).optional(),
  }).optional(),
  startup: startup.optional(),
  replication: flag.optional(),
  privilegedRoles: z
    .array(text('a role'), { error: ({ input }) => expected('a list of roles', input) })
    .optional(),
});

const databases = choose<GatewayConfig['databases']>((input) =>
  typeof input === 'function' ? func() : record(database),
);

/** One listener, or several. */
const listen = choose<NonNullable<GatewayConfig['listen']>>((input) => {
  if (!Array.isArray(input)) return listener;
  return z.array(listener).min(1, { error: 'at least one listener is needed' });
});

/** What to write in the place of an option of earlier versions. */
function consoleMoved(input: unknown): string {
  if (input === false)
    return 'leave it out: there is a console only where plugins has the plugin of that name';
  const name = typeof input === 'string' ? input : 'pgbouncer';
  return `leave it out, and list the plugin of that name in plugins, with { database: '${name}' }`;
}

const admin = object<AdminOptions & { readonly console?: never }>({
  host: text('an address').optional(),
  port: port.optional(),
  path: text('the path of a unix socket').optional(),
  mode: permissions.optional(),
  tls: listenTls.optional(),
  operators: object<NonNullable<AdminOptions['operators']>>({
    claim: text('the name of a claim'),
    value: text('a value of that claim'),
    issuer: text('the issuer of operators').optional(),
  }).optional(),
  console: value<never>(consoleMoved).optional(),
});

/** A cancel key has six bits for the number of a worker. */
export const MOST_WORKERS = 63;

/** The whole config, except for what is in `plugins`. */
export const config = object<GatewayConfig>({
  listen: listen.optional(),
  databases,
  admin: admin.optional(),
  plugins: value((input) => (Array.isArray(input) ? undefined : expected('a list of plugins', input))),
  loginTimeout: duration(1).optional(),
  drainDelay: duration(0).optional(),
  drainTimeout: duration(0).optional(),
  maxStatementBytes: whole(1, LARGEST_MESSAGE).optional(),
  logLevel: oneOf(['debug', 'info', 'warn', 'error', 'silent']).optional(),
  workers: value<number | 'auto'>((input) =>
    input === 'auto' || (Number.isInteger(input) && Number(input) >= 1 && Number(input) <= MOST_WORKERS)
      ? undefined
      : expected(`'auto' or a whole number from 1 to ${MOST_WORKERS}`, input),
  ).optional(),
  fleet: fleet.optional(),
});

function sentences({ issues }: z.ZodError): readonly string[] {
  return issues.flatMap(({ path, message }) => {
    const where = configPath(path);
    // An unknown key has one sentence of its own, see `object`.
    return message.split('\n').map((line) => (where === '' ? line : `${where}: ${line}`));
  });
}

/**
 * Parses a value by a schema of this file.
 * @param path where the value stands in the config
 * @throws ConfigError with one line per mistake, each naming its place
 */
export function parseAt<T>(schema: z.ZodType<T>, input: unknown, path: readonly string[] = []): T {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => ({ ...issue, path: [...path, ...issue.path] }));
  throw new ConfigError(sentences(new z.ZodError(issues)).join('\n'));
}
