/** The authorities of a PEM file, and which of them has signed a certificate. */
import { X509Certificate } from 'node:crypto';
import { certificateBlocks } from './pem.ts';

/** Longest chain of intermediate certificates that is followed. */
const LONGEST_CHAIN = 10;

/** Certificates of authorities by their file's text. */
export class Authorities {
  readonly all: readonly X509Certificate[];

  /** @throws Error for a broken certificate */
  constructor(pem: string) {
    this.all = certificateBlocks(pem).map((block) => new X509Certificate(block));
  }

  /**
   * The authority that has signed a verified certificate, or the first of the intermediate ones behind it that one of these has
   * signed. Names do not suffice: two authorities may have the same.
   */
  of(certificate: X509Certificate): X509Certificate | undefined {
    let at: X509Certificate | undefined = certificate;
    for (let depth = 0; at && depth < LONGEST_CHAIN; depth += 1) {
      const own: X509Certificate = at;
      const found = this.all.find((authority) => hasSigned(authority, own));
      if (found) return found;
      // The client chooses what it sends behind its own.
      const next: X509Certificate | undefined = at.issuerCertificate;
      at = next && hasSigned(next, own) ? next : undefined;
    }
    return undefined;
  }
}

function hasSigned(authority: X509Certificate, certificate: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

/** SHA-256 of a certificate's DER, lower-case hex. */
export function fingerprintOf({ fingerprint256 }: X509Certificate): string {
  return fingerprint256.replaceAll(':', '').toLowerCase();
}
