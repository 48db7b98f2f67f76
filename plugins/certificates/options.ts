/** The options of `certificates()`. A reload applies them to new sessions. */
import type { TokenRules } from '../../core/index.ts';

/** Which name of a certificate says who its holder is. */
export type NameKind = 'uri' | 'dns' | 'commonName' | 'subject';

/** Certificates that are let in, by their names. */
export interface AllowOptions {
  /**
   * A name, letter by letter (without regard to case for `dns`), or several. In a name of kind `uri` or `dns` `*` stands for one
   * whole part between `/` or dots, and in a URI `**` at the end for one or more; `*` alone is any common name.
   */
  readonly name: string | readonly string[];
  /** One of `authorities`, or several. Default: each of them. */
  readonly authority?: string | readonly string[];
  /** Claims that other plugins read, such as `{ role: 'reader' }` for `roles({ claim: 'role', … })`. Default: none but those of the certificate. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Rules of such sessions, as a token carries them. Default: none. */
  readonly rules?: TokenRules;
}

/** Options of the `certificates` plugin. */
export interface CertificatesOptions {
  /**
   * Which name counts. `'uri'`: the only URI among the alternative names; `'dns'`: one of the DNS names there; `'commonName'`: the only
   * common name; `'subject'`: the whole distinguished name as RFC 4514 writes it, such as `CN=billing,O=Example`.
   */
  readonly by: NameKind;
  /** Only SPIFFE ids of this trust domain count, such as `'example.org'`. Goes with `by: 'uri'`. Default: any URI. */
  readonly trustDomain?: string;
  /**
   * Names for authorities of `listen.tls.clientCa`, each with the PEM file of its certificates: `{ mesh: 'mesh-ca.pem' }`. Identities
   * then have the issuer `certificate:mesh`, and what another authority has signed is refused. Needed where a listener trusts several
   * that could give one name to two. Default: all are one, with the issuer `certificate:`.
   */
  readonly authorities?: Readonly<Record<string, string>>;
  /** Who is let in: the first that fits counts. */
  readonly allow: readonly AllowOptions[];
}
