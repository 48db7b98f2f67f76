/** Makes client certificates for roles. The sole importer of x509, itself imported only where a login needs one. */
// oxlint-disable-next-line import/no-unassigned-import -- x509 needs it loaded first, and does not load it
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Extension } from '@peculiar/x509';
import type { Authority } from './authority.ts';

/** A certificate and its private key as PEM texts. They stay in memory. */
export interface ClientCertificate {
  /** The certificate, then its authorities up to the root, which is left out. */
  readonly cert: string;
  readonly key: string;
  /** SHA-256 of the certificate of the authority that signed it. */
  readonly authority: string;
}

/** When a certificate is good, in milliseconds since the epoch. X.509 counts whole seconds. */
export interface Validity {
  readonly from: number;
  readonly until: number;
}

const P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
/** The hash that is as strong as the curve (RFC 5480 §4). */
const CURVES: Readonly<Record<string, { readonly namedCurve: string; readonly hash: string }>> = {
  prime256v1: { namedCurve: 'P-256', hash: 'SHA-256' },
  secp384r1: { namedCurve: 'P-384', hash: 'SHA-384' },
  secp521r1: { namedCurve: 'P-521', hash: 'SHA-512' },
};

/** WebCrypto's name for the authority's algorithm. */
function algorithmOf(key: KeyObject): { readonly name: string; readonly hash?: string } {
  if (key.asymmetricKeyType === 'rsa') return { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  if (key.asymmetricKeyType === 'ed25519') return { name: 'Ed25519' };
  const curve = CURVES[key.asymmetricKeyDetails?.namedCurve ?? ''];
  if (!curve) throw new Error(`an authority cannot sign with a key of type ${key.asymmetricKeyType}`);
  return { name: 'ECDSA', ...curve };
}

async function extensionsFor(
  publicKey: webcrypto.CryptoKey,
  issuer: X509Certificate,
): Promise<readonly Extension[]> {
  // The authority's own identifier, however it was computed: with another one, OpenSSL finds no chain.
  const known = issuer.getExtension(SubjectKeyIdentifierExtension)?.keyId;
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
    await SubjectKeyIdentifierExtension.create(publicKey, false, webcrypto),
    known === undefined
      ? await AuthorityKeyIdentifierExtension.create(issuer.publicKey, false, webcrypto)
      : new AuthorityKeyIdentifierExtension(known),
  ];
}

function pem(label: string, der: ArrayBuffer): string {
  const lines = Buffer.from(der)
    .toString('base64')
    .replace(/(.{64})(?!$)/g, '$1\n');
  return `-----BEGIN ${label}-----\n${lines}\n-----END ${label}-----\n`;
}

/**
 * Makes a certificate that says `role` and nothing else: CN as UTF8String, P-256, only for TLS clients, and a new key
 * (RFC 5280 §4.2). PostgreSQL's `cert` compares that CN with the user name (manual, 20.12).
 */
export async function mint(
  authority: Authority,
  role: string,
  validity: Validity,
): Promise<ClientCertificate> {
  const algorithm = algorithmOf(authority.key);
  const der = authority.key.export({ format: 'der', type: 'pkcs8' });
  const signingKey = await webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify']);
  const issuer = new X509Certificate(authority.certificate.raw);
  const parameters = {
    // Typed names only: a plain string would be parsed, and could say more than one name, or another.
    subject: new Name([{ CN: [{ utf8String: role }] }]),
    issuer: issuer.subjectName,
    // 128 random bits: two gateways with one authority must never meet (RFC 5280 §4.1.2.2 demands unique).
    serialNumber: randomBytes(16).toString('hex'),
    notBefore: new Date(validity.from),
    notAfter: new Date(validity.until),
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: algorithm,
    extensions: [...(await extensionsFor(keys.publicKey, issuer))],
  };
  const certificate = await X509CertificateGenerator.create(parameters, webcrypto);
  const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return {
    cert: `${pem('CERTIFICATE', certificate.rawData)}${authority.chain}`,
    key: pem('PRIVATE KEY', key),
    authority: authority.certificate.fingerprint256,
  };
}
