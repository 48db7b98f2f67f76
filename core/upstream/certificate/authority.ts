/** The gateway as a certificate authority: its certificate and key, looked at before anything is signed with them. */
import { X509Certificate, createPrivateKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** Absolute paths of PEM files. */
export interface AuthorityFiles {
  /** The authority's certificate first, then those above it if it is not a root. */
  readonly ca: string;
  /** The private key of the first certificate. */
  readonly key: string;
}

/** An authority that can sign. */
export interface Authority {
  readonly certificate: X509Certificate;
  readonly key: KeyObject;
  /** PEM of the certificates that the server needs besides a root it knows: the authority itself and those above, without the root. */
  readonly chain: string;
  /** Milliseconds since the epoch: no signature of it is good later. */
  readonly until: number;
}

/** An authority cannot be used; names the fault and which of its two files has it. The message never holds key material. */
export class AuthorityError extends Error {
  override readonly name = 'AuthorityError';
  readonly file: keyof AuthorityFiles;

  constructor(file: keyof AuthorityFiles, message: string) {
    super(message);
    this.file = file;
  }
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
/** Algorithms with which WebCrypto can sign certificates, by the name of node:crypto. */
const KEY_TYPES = ['rsa', 'ec', 'ed25519'];
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];

function read(file: keyof AuthorityFiles, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new AuthorityError(file, `cannot read ${path}: ${(error as Error).message}`);
  }
}

function certificatesIn(path: string): readonly [X509Certificate, ...X509Certificate[]] {
  const [first, ...above] = read('ca', path).match(PEM_CERTIFICATE) ?? [];
  if (first === undefined) throw new AuthorityError('ca', `no PEM certificate in ${path}`);
  try {
    return [new X509Certificate(first), ...above.map((pem) => new X509Certificate(pem))];
  } catch (error) {
    throw new AuthorityError('ca', `broken certificate in ${path}: ${(error as Error).message}`);
  }
}

function keyIn(path: string): KeyObject {
  const pem = read('key', path);
  if (/ENCRYPTED/.test(pem)) {
    throw new AuthorityError(
      'key',
      `${path} is encrypted: the gateway has no passphrase for it, so decrypt it`,
    );
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(pem);
  } catch {
    // OpenSSL's own words say nothing that a person could act on.
    throw new AuthorityError('key', `no PEM private key in ${path}`);
  }
  const { asymmetricKeyType: type = 'unknown', asymmetricKeyDetails: details } = key;
  const curve = details?.namedCurve ?? '';
  if (KEY_TYPES.includes(type) && (type !== 'ec' || CURVES.includes(curve))) return key;
  const what = `${type} ${curve}`.trim();
  throw new AuthorityError(
    'key',
    `${path} is a key of type ${what}: make it P-256, P-384, P-521, RSA or Ed25519`,
  );
}

function checkUsable(path: string, certificate: X509Certificate, now: number): void {
  if (!certificate.ca) {
    const make = 'basicConstraints=critical,CA:TRUE and keyUsage=critical,keyCertSign';
    throw new AuthorityError('ca', `${path} is not the certificate of an authority: it needs ${make}`);
  }
  if (Date.parse(certificate.validTo) <= now) {
    throw new AuthorityError('ca', `${path} expired at ${certificate.validTo}`);
  }
  if (Date.parse(certificate.validFrom) > now) {
    throw new AuthorityError('ca', `${path} is not valid before ${certificate.validFrom}`);
  }
}

const isRoot = (certificate: X509Certificate): boolean => certificate.checkIssued(certificate);

/**
 * Reads and checks an authority.
 * @param now milliseconds since the epoch
 * @throws AuthorityError for files that cannot be read, are no authority, have expired, or do not belong together
 */
export function loadAuthority({ ca, key: keyFile }: AuthorityFiles, now = Date.now()): Authority {
  const certificates = certificatesIn(ca);
  const [certificate] = certificates;
  checkUsable(ca, certificate, now);
  const key = keyIn(keyFile);
  if (!certificate.checkPrivateKey(key)) {
    throw new AuthorityError('key', `${keyFile} is not the key of the certificate in ${ca}`);
  }
  const chain = certificates.filter((one) => !isRoot(one)).map(String);
  const until = Math.min(...certificates.map(({ validTo }) => Date.parse(validTo)));
  return { certificate, key, chain: chain.join(''), until };
}
