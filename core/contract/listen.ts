/** What an entry of `listen` may say: where clients connect. */
import type { Credential, CredentialChoice } from './credential.ts';
import type { StartupRules } from './startup-rules.ts';

/** A certificate and its key. Paths are relative to the config file. */
export interface CertificatePair {
  /**
   * PEM file with the server certificate and its chain.
   *
   * @example cert: 'tls/server.crt'
   */
  readonly cert: string;
  /**
   * PEM file with the private key of `cert`.
   *
   * @example key: 'tls/server.key'
   */
  readonly key: string;
}

/**
 * TLS towards clients. Paths are relative to the config file; a change of a file itself reloads the config.
 *
 * @reload new connections
 */
export interface ListenTls extends CertificatePair {
  /**
   * PEM file with the authorities of client certificates. A client whose certificate one of them has signed is known by it: tokens may be
   * bound to it, and with the credential `'certificate'` it is the login.
   *
   * @defaultValue none: the gateway asks for no client certificate
   * @example clientCa: 'tls/clients-ca.crt'
   */
  readonly clientCa?: string;
  /**
   * Whether a client has to show a certificate. Only with `clientCa`. A certificate that is not valid is refused with 28000 either way.
   *
   * @defaultValue `'optional'`
   * @example clientCertificate: 'required'
   */
  readonly clientCertificate?: 'optional' | 'required';
  /**
   * PEM file with the revocation lists (CRL) of all authorities in `clientCa`, as PostgreSQL's `ssl_crl_file`. A revoked certificate is
   * refused, and its open sessions end with 57P01. See [client certificates](#client-certificates).
   *
   * @defaultValue none
   * @example crl: 'tls/clients.crl'
   */
  readonly crl?: string;
  /**
   * Further certificates by the server name that the client asks for (SNI). `*.example.com` covers one label.
   *
   * @defaultValue none
   * @example servernames: { '*.example.com': { cert: 'tls/example.crt', key: 'tls/example.key' } }
   */
  readonly servernames?: Readonly<Record<string, CertificatePair>>;
}

/** The proxies and load balancers in front of a listener. */
export interface ProxyProtocolOptions {
  /**
   * Networks of the proxies in CIDR notation. A connection from one of them has to begin with a PROXY header; a connection from anywhere
   * else must not have one. See [behind a proxy](#behind-a-proxy).
   *
   * @example trusted: ['10.0.0.0/24']
   */
  readonly trusted: readonly string[];
}

/**
 * One address where clients connect.
 *
 * @reload new connections
 */
export interface ListenOptions {
  /**
   * The listener's name, unique in the list: for `only({ listeners })` and the log.
   *
   * @defaultValue `'default'`
   * @reload needs a restart
   * @example name: 'public'
   */
  readonly name?: string;
  /**
   * The address to listen on.
   *
   * @defaultValue `'127.0.0.1'`
   * @reload needs a restart
   * @example host: '0.0.0.0'
   */
  readonly host?: string;
  /**
   * A folder, relative to the config file, for a unix socket instead of `host`: the listener is `.s.PGSQL.<port>` in it, where libpq looks
   * for it. It has no TLS and takes no PROXY header. See [a unix socket](#a-unix-socket).
   *
   * @defaultValue none: the listener is a TCP port
   * @reload needs a restart
   * @example path: '/run/postern'
   */
  readonly path?: string;
  /**
   * The permissions of the unix socket, as PostgreSQL's `unix_socket_permissions`.
   *
   * @defaultValue `0o777`
   * @reload needs a restart
   * @example mode: 0o770
   */
  readonly mode?: number;
  /**
   * The TCP port, or the number in the name of the unix socket. With 0 the system chooses a free port, which the log line `listening` names.
   *
   * @defaultValue `6432`
   * @reload needs a restart
   * @example port: 5432
   */
  readonly port?: number;
  /**
   * The gateway's certificate, and what it asks of client certificates.
   *
   * @defaultValue none: the listener has no TLS
   * @example tls: { cert: 'tls/server.crt', key: 'tls/server.key' }
   */
  readonly tls?: ListenTls;
  /**
   * Which clients may connect without TLS: those on this machine, or none. The client's address counts, as a trusted proxy gives it; a unix
   * socket counts as loopback. Others are refused with 28000 before they could send a token.
   *
   * @defaultValue `'loopback'`
   * @example plaintext: 'never'
   */
  readonly plaintext?: 'never' | 'loopback';
  /**
   * The proxies and load balancers that send a PROXY header (version 1 or 2) with the client's address.
   *
   * @defaultValue none: no connection may begin with a PROXY header
   * @example proxyProtocol: { trusted: ['10.0.0.0/24'] }
   */
  readonly proxyProtocol?: ProxyProtocolOptions;
  /**
   * Rules for the parameters of startup packets, beside those of the database's entry. See [startup parameters](#startup-parameters).
   *
   * @defaultValue none: clients may send every parameter that they may `SET`
   * @example startup: { ignore: ['extra_float_digits'] }
   */
  readonly startup?: StartupRules;
  /**
   * The credential that clients are asked for: one, or a default and what chooses another. See
   * [which credential](#which-credential).
   *
   * @defaultValue `'password'`
   * @example auth: 'oauthbearer'
   */
  readonly auth?: Credential | CredentialChoice;
}
