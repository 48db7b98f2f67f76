/** Where PgBouncer listens, as entries of `listen`. */
import { parameterName } from '../../wire/startup-parameters.ts';
import { Expression } from '../written/source.ts';
import type { Value } from '../written/source.ts';
import type { Remarks } from './remarks.ts';
import type { Settings, Taken } from './settings.ts';

const LOOPBACK = /^(?:localhost|::1|127\.\d+\.\d+\.\d+)$/;
const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
/** PgBouncer's default, and Postern's. */
const PORT = 6432;
const SOCKETS = '/tmp';
const OPEN = 0o777;

type Listener = Readonly<Record<string, Value | undefined>>;

/** What listeners need to know of the rest. */
export interface Around {
  readonly settings: Settings;
  readonly remarks: Remarks;
  /** A path as the config says it. */
  readonly pathOf: (given: string) => string;
  /** The credential that clients are asked for. */
  readonly auth: 'scram' | 'certificate';
}

function filesOf({ settings, pathOf }: Around): Readonly<Record<'cert' | 'key' | 'ca', string | undefined>> {
  const of = (name: string): string | undefined => {
    const taken = settings.text(name);
    return taken && pathOf(taken.value);
  };
  return { cert: of('client_tls_cert_file'), key: of('client_tls_key_file'), ca: of('client_tls_ca_file') };
}

/** `tls` and `plaintext` of a listener for TCP. */
function tlsOf(around: Around): Listener {
  const { settings, remarks, auth } = around;
  const mode = settings.choice('client_tls_sslmode', MODES);
  const { cert, key, ca } = filesOf(around);
  if (!mode || mode.value === 'disable') return {};
  if (cert === undefined || key === undefined) {
    remarks.add(mode.place, 'client_tls_cert_file and client_tls_key_file are needed: no TLS is offered');
    return {};
  }
  const verifies = mode.value.startsWith('verify') || auth === 'certificate';
  if (mode.value === 'verify-full' && auth !== 'certificate')
    remarks.add(mode.place, 'that the name in a client certificate is that of the user is not compared');
  if (verifies && ca === undefined) remarks.add(mode.place, 'client_tls_ca_file is needed to verify clients');
  const clientCa = verifies && ca !== undefined && { clientCa: ca, clientCertificate: 'required' };
  const voluntary = mode.value === 'allow' || mode.value === 'prefer';
  return { tls: { cert, key, ...clientCa }, ...(!voluntary && { plaintext: 'never' }) };
}

function sayWithoutTls(addresses: Taken<readonly string[]>, { remarks }: Around, tls: Listener): void {
  if (tls['plaintext'] === 'never' || addresses.value.every((one) => LOOPBACK.test(one))) return;
  remarks.add(
    addresses.place,
    'clients of other machines get in by TLS only, since what they send is a secret; without it only those of this machine: tls: { cert, key }',
  );
}

function tcp(around: Around, port: number, more: Listener): readonly Listener[] {
  const { settings, remarks } = around;
  const addresses = settings.list('listen_addr');
  const tls = tlsOf(around);
  if (!addresses) return [];
  sayWithoutTls(addresses, around, tls);
  if (addresses.value.includes('*'))
    remarks.add(addresses.place, "* is 0.0.0.0 here, every address of IPv4; '::' has those of IPv6 as well");
  const hosts = addresses.value.includes('*') ? ['0.0.0.0'] : addresses.value;
  return hosts.map((host) => ({ host, port, ...tls, ...more }));
}

function unix({ settings, remarks }: Around, port: number, more: Listener): readonly Listener[] {
  const folder = settings.text('unix_socket_dir');
  const mode = settings.integer('unix_socket_mode');
  const group = settings.text('unix_socket_group');
  if (group) remarks.add(group.place, 'unix_socket_group: give the folder to the group, with the setgid bit');
  if (!folder && settings.has('unix_socket_dir')) return [];
  if (folder?.value.startsWith('@')) {
    remarks.add(folder.place, 'unix_socket_dir: sockets of the abstract namespace are not served');
    return [];
  }
  const bits = mode && mode.value !== OPEN ? new Expression(`0o${mode.value.toString(8)}`) : undefined;
  return [{ path: folder?.value ?? SOCKETS, mode: bits, port, ...more }];
}

function ignored({ settings, remarks }: Around): Listener {
  const names = settings.list('ignore_startup_parameters');
  const known = names?.value.filter((name) => parameterName(name) !== undefined) ?? [];
  for (const name of names?.value ?? []) {
    if (!known.includes(name))
      remarks.add(names?.place, `ignore_startup_parameters: ${name} needs no permission here`);
  }
  return known.length > 0 ? { startup: { ignore: known } } : {};
}

/** One, or a list. */
export function listenOf(around: Around): Value {
  const { settings, auth } = around;
  const port = settings.integer('listen_port')?.value ?? PORT;
  const more = { auth, ...ignored(around) };
  const all = [...tcp(around, port, more), ...(auth === 'certificate' ? [] : unix(around, port, more))];
  const [first, ...others] = all;
  if (others.length === 0) return first ?? { port, ...more };
  let count = 0;
  return all.map((one) => {
    const kind = one['path'] === undefined ? 'tcp' : 'unix';
    if (kind === 'tcp') count += 1;
    return { name: kind === 'tcp' && count > 1 ? `tcp-${count}` : kind, ...one };
  });
}
