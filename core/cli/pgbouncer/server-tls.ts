/** TLS towards the servers of an entry, by PgBouncer's settings. */
import { isLocal } from '../../upstream/secure.ts';
import type { Value } from '../written/source.ts';
import type { Remarks } from './remarks.ts';
import type { Settings, Taken } from './settings.ts';

const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full'] as const;
type Mode = (typeof MODES)[number];

/** The settings, read once for all databases. */
export class ServerTls {
  readonly #mode: Taken<Mode> | undefined;
  readonly #ca: string | undefined;
  readonly #remarks: Remarks;

  constructor(settings: Settings, remarks: Remarks, pathOf: (given: string) => string) {
    this.#mode = settings.choice('server_tls_sslmode', MODES);
    const ca = settings.text('server_tls_ca_file');
    this.#ca = ca && pathOf(ca.value);
    this.#remarks = remarks;
  }

  /** Undefined where the default is right: no TLS to this machine. */
  for(hosts: readonly string[]): Value | undefined {
    if (hosts.some((host) => host.startsWith('/'))) return undefined;
    const mode = this.#mode?.value;
    if (mode === 'require' || mode === 'verify-ca' || mode === 'verify-full') return this.#with(mode);
    if (hosts.every(isLocal)) return undefined;
    if (mode === 'disable') return { mode };
    const fallback =
      'the gateway verifies servers (verify-full), and never falls back to a connection without TLS';
    this.#remarks.add(
      this.#mode?.place,
      mode === undefined
        ? `server_tls_sslmode is not there, and PgBouncer then verifies nothing: ${fallback}`
        : `server_tls_sslmode = ${mode}: ${fallback}`,
    );
    return this.#with('verify-full');
  }

  #with(mode: 'require' | 'verify-ca' | 'verify-full'): Value {
    return { mode, ...(mode !== 'require' && this.#ca !== undefined && { ca: this.#ca }) };
  }
}
