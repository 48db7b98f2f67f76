/** The blocks of PEM files (RFC 7468). */

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const REVOCATION_LIST = /-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g;

/** The certificates of a PEM text, each as PEM. */
export function certificateBlocks(text: string): readonly string[] {
  return text.match(CERTIFICATE) ?? [];
}

/** The revocation lists of a PEM text, each as PEM: OpenSSL reads one of a text only, through Node. */
export function revocationListBlocks(text: string): readonly string[] {
  return text.match(REVOCATION_LIST) ?? [];
}

/** The content of one block. */
export function derOf(block: string): Buffer {
  return Buffer.from(block.replace(/-----[^-]+-----/g, ''), 'base64');
}
