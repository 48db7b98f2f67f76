/** What an entry of `listen` may say: where clients connect. */
import type { Credential, CredentialChoice } from './credential.ts';
import type { StartupRules } from './startup-rules.ts';

/** TLS towards clients. Files are relative to the config file. A change of the files themselves is one of the config. */
export interface ListenTls {
  /** PEM file: the server certificate and its chain. */
  readonly cert: string;
  /** PEM file: its private key. */
  readonly key: string;
  /** PEM file: authorities of client certificates. Default: client certificates are not asked for. */
  readonly clientCa?: string;
  /** Default `'optional'` where `clientCa` is given. */
  readonly clientCertificate?: 'optional' | 'required';
  /**
   * PEM file: the revocation lists (CRL) of all authorities in `clientCa`; a revoked certificate is refused, and its sessions end. As
   * PostgreSQL's `ssl_crl_file`: from `nextUpdate` of a list on all certificates of its authority are refused. Default: none.
   */
  readonly crl?: string;
  /** Further certificates by Server Name Indication; `*.example.com` covers one label. */
  readonly servernames?: Readonly<Record<string, { readonly cert: string; readonly key: string }>>;
}

/** One address where clients connect. Another list of names and addresses needs a restart; the rest is for new connections. */
export interface ListenOptions {
  /** Default `'default'`; unique in a list. A change needs a restart. */
  readonly name?: string;
  /** Default `'127.0.0.1'`. A change needs a restart. */
  readonly host?: string;
  /**
   * A folder, relative to the config file: the listener is the unix socket `.s.PGSQL.<port>` in it, as libpq looks for it, and has no `host`, no
   * TLS and no PROXY header. Default: TCP. A change needs a restart.
   */
  readonly path?: string;
  /** Permissions of that socket. Default `0o777`, as PostgreSQL's `unix_socket_permissions`. A change needs a restart. */
  readonly mode?: number;
  /** Default 6432; 0 takes a free one and says so in the `listening` line. A change needs a restart. */
  readonly port?: number;
  /** Default: none; then only plaintext as `plaintext` allows. */
  readonly tls?: ListenTls;
  /** Who may come without TLS, by the client's address, as a trusted proxy gives it; a unix socket counts as loopback. Default `'loopback'`. */
  readonly plaintext?: 'never' | 'loopback';
  /**
   * Addresses of proxies and load balancers in CIDR notation, which send a PROXY header (HAProxy's, version 1 or 2) before all
   * else: the client's address is then the one in it. Who is not named here may not send one. Default: nobody does.
   */
  readonly proxyProtocol?: { readonly trusted: readonly string[] };
  /** Parameters of startup packets, as an entry of `databases` has them. Default: every one that a client may `SET`. */
  readonly startup?: StartupRules;
  /**
   * Which credential clients are asked for: one, or a default and what chooses another. OAUTHBEARER needs a plugin that
   * announces an issuer, such as `jwt` with `oauth`. Default `'password'`.
   */
  readonly auth?: Credential | CredentialChoice;
}
