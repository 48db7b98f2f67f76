/** The options of `certificates()`. A reload applies them to new sessions. */
import type { TokenRules } from '../../core/index.ts';

/** Which name of a certificate says who its holder is. */
export type NameKind = 'uri' | 'dns' | 'commonName' | 'subject';

/** Certificates that are let in, by their names. */
export interface AllowOptions {
  /**
   * A name, or several, compared character by character (`dns` in any case). In a name of kind `uri` or `dns` `*` stands for one whole part
   * between `/` or dots; `**` at the end of a URI for one or more parts; `*` alone for any common name.
   *
   * @example name: 'spiffe://example.org/ns/prod/sa/*'
   */
  readonly name: string | readonly string[];
  /**
   * One or more of `authorities`.
   *
   * @defaultValue each of them
   * @example authority: 'mesh'
   */
  readonly authority?: string | readonly string[];
  /**
   * Claims for other plugins: `roles`, `tenant`, `claims`. The certificate adds `iss`, `sub`, `exp` and `certificate`.
   *
   * @defaultValue none but those of the certificate
   * @example claims: { role: 'writer' }
   */
  readonly claims?: Readonly<Record<string, unknown>>;
  /**
   * Rules of such sessions, as a token carries them (`databases`, `maxConnections`, `cidrs`, `windows`, `rate`, `maxSession`, `target`), enforced
   * by the same plugins.
   *
   * @defaultValue none
   * @example rules: { maxConnections: 20 }
   */
  readonly rules?: TokenRules;
}

/**
 * Options of the `certificates` plugin.
 *
 * @reload new sessions
 */
export interface CertificatesOptions {
  /**
   * The name that counts.
   *
   * - `'uri'`: the only URI among the alternative names.
   * - `'dns'`: one of the DNS names among them, in any case.
   * - `'commonName'`: the only common name.
   * - `'subject'`: the whole distinguished name by RFC 4514, such as `CN=billing,O=Example`, as `openssl x509 -subject -nameopt RFC2253` prints it.
   *
   * @example by: 'uri'
   */
  readonly by: NameKind;
  /**
   * With `by: 'uri'`: only [SPIFFE](https://spiffe.io/docs/latest/spiffe-specs/spiffe-id/) ids of this trust domain count.
   *
   * @defaultValue none: any URI counts
   * @example trustDomain: 'example.org'
   */
  readonly trustDomain?: string;
  /**
   * Names for the authorities of `listen.tls.clientCa`, each with the PEM file of its certificates, since two authorities may have one name.
   * Identities then have the issuer `certificate:<name>`, and a certificate of another authority is refused. Give them where a listener trusts several
   * authorities that could issue the same name.
   *
   * @defaultValue none: all authorities are one, with the issuer `certificate:`
   * @example authorities: { mesh: 'tls/mesh-ca.crt' }
   */
  readonly authorities?: Readonly<Record<string, string>>;
  /**
   * The certificates that are let in. The first entry that fits counts.
   *
   * @example allow: [{ name: 'spiffe://example.org/billing', claims: { role: 'writer' } }]
   */
  readonly allow: readonly AllowOptions[];
}
