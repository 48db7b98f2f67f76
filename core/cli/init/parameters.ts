/** The parameters of a connection URI as an entry of `databases` has them, and those for which it has nothing. */
import type { DatabaseOptions, UpstreamTls } from '../../contract/database.ts';
import type { Target } from '../../contract/target.ts';
import type { ConnectionUri } from './connection-uri.ts';

/** What parameters mean here. */
export interface FromParameters {
  readonly tls: UpstreamTls | undefined;
  readonly target: Target | undefined;
  /** `startup.default` of the entry. */
  readonly defaults: NonNullable<DatabaseOptions['startup']>['default'];
  /** A sentence for each parameter that is not taken over as it is. */
  readonly remarks: readonly string[];
}

const TARGETS: ReadonlyMap<string, Target> = new Map([
  ['any', 'any'],
  ['read-write', 'primary'],
  ['primary', 'primary'],
  ['read-only', 'replica'],
  ['standby', 'replica'],
  ['prefer-standby', 'prefer-replica'],
]);

const MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
/** Sent to the server as they are. */
const RUN_TIME = ['application_name', 'client_encoding'];

const CERTIFICATE = "the gateway makes certificates for roles by login: { kind: 'certificate', ca, key }";
const KEEPALIVE = 'the gateway keeps its connections alive and closes unused ones by pool.idleTimeout';
/** Why a parameter of libpq has no equivalent. */
const WHY: Readonly<Record<string, string>> = {
  sslcert: CERTIFICATE,
  sslkey: CERTIFICATE,
  sslpassword: CERTIFICATE,
  sslcrl: 'revocation lists of servers are not read',
  sslcrldir: 'revocation lists of servers are not read',
  ssl_min_protocol_version: 'TLS 1.2 is the oldest',
  ssl_max_protocol_version: 'the newest that both have is used',
  channel_binding: 'SCRAM is bound to TLS wherever the server can',
  connect_timeout: 'a connection is given up after 5 seconds, a login by loginTimeout',
  keepalives: KEEPALIVE,
  keepalives_idle: KEEPALIVE,
  keepalives_interval: KEEPALIVE,
  keepalives_count: KEEPALIVE,
  tcp_user_timeout: KEEPALIVE,
  options: 'write settings into startup: { default: { … } } of the entry',
  gssencmode: 'GSSAPI is not used',
  krbsrvname: 'GSSAPI is not used',
  service: 'service files are not read',
  passfile: 'password files are not read',
  hostaddr: 'write the address into host, and the name into tls.servername',
  load_balance_hosts: "target: 'any' spreads sessions over all hosts",
};

type Parameters = ConnectionUri['parameters'];

interface Read<T> {
  readonly value: T | undefined;
  readonly remark?: string;
}

function targetOf(given: string | undefined): Read<Target> {
  const value = given === undefined ? undefined : TARGETS.get(given);
  return given === undefined || value !== undefined
    ? { value }
    : { value, remark: 'target_session_attrs: the value is none that libpq has' };
}

function modeOf(given: string | undefined): Read<UpstreamTls['mode'] & string> {
  const value = MODES.find((mode) => mode === given);
  if (given === undefined || value !== undefined) return { value };
  return given === 'prefer' || given === 'allow'
    ? {
        value,
        remark: `sslmode=${given} falls back to a connection without TLS, which the gateway never does`,
      }
    : { value, remark: 'sslmode: the value is none that libpq has' };
}

function tlsOf(parameters: Parameters): Read<UpstreamTls> {
  const root = parameters.get('sslrootcert');
  const { value: mode, remark } = modeOf(parameters.get('sslmode'));
  const ca = root === undefined || root === 'system' ? undefined : root;
  // As libpq: a file of authorities makes `require` verify (manual, 34.19.1).
  const verified = mode === 'require' && ca !== undefined ? 'verify-ca' : mode;
  const usesCa = ca !== undefined && verified !== 'disable';
  const value = { ...(verified && { mode: verified }), ...(usesCa && { ca }) };
  return { value: verified || usesCa ? value : undefined, ...(remark !== undefined && { remark }) };
}

/** Reads the parameters of a URI. */
export function fromParameters(parameters: Parameters): FromParameters {
  const tls = tlsOf(parameters);
  const target = targetOf(parameters.get('target_session_attrs'));
  const known = ['sslmode', 'sslrootcert', 'target_session_attrs', ...RUN_TIME];
  const others = [...parameters.keys()].filter((name) => !known.includes(name));
  const defaults = [...parameters].filter(([name]) => RUN_TIME.includes(name));
  return {
    tls: tls.value,
    target: target.value,
    defaults: defaults.length > 0 ? Object.fromEntries(defaults) : undefined,
    remarks: [
      ...[tls.remark, target.remark].filter((remark) => remark !== undefined),
      ...others.map((name) => `${name}: ${Object.hasOwn(WHY, name) ? WHY[name] : 'has no equivalent'}`),
    ],
  };
}
