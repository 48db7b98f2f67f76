/** Certificate authorities of every kind an operator could bring, good and bad, as files. */
// oxlint-disable-next-line import/no-unassigned-import -- x509 needs it loaded first, and does not load it
import 'reflect-metadata';
import { createPrivateKey, webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectKeyIdentifierExtension,
  AuthorityKeyIdentifierExtension,
  X509CertificateGenerator,
  cryptoProvider,
} from '@peculiar/x509';
import type { JsonNameParams, X509Certificate } from '@peculiar/x509';
import type { AuthorityFiles } from '../../core/upstream/certificate/authority.ts';

/** What an authority may be like; everything has a default. */
export interface AuthorityOptions {
  /** Default P-256. */
  readonly keyType?: 'P-256' | 'P-384' | 'P-521' | 'RSA' | 'Ed25519';
  /** Default CN `gateway authority`. */
  readonly subject?: JsonNameParams;
  /** Milliseconds since the epoch. Default: a day ago. */
  readonly from?: number;
  /** Milliseconds since the epoch. Default: in a day. */
  readonly until?: number;
  /** Default true. */
  readonly ca?: boolean;
  /** Who certifies it. Default: itself. */
  readonly under?: MadeAuthority;
  /** Whose keys and name it has too. Default: its own. */
  readonly twinOf?: MadeAuthority;
}

/** An authority, and the files it is in. */
export interface MadeAuthority {
  readonly files: AuthorityFiles;
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

const DAY_MS = 86_400_000;
const ALGORITHMS = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  'P-521': { name: 'ECDSA', namedCurve: 'P-521', hash: 'SHA-512' },
  RSA: {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  },
  Ed25519: { name: 'Ed25519' },
} as const;

cryptoProvider.set(webcrypto);

async function certify(keys: webcrypto.CryptoKeyPair, options: AuthorityOptions): Promise<X509Certificate> {
  const { subject = [{ CN: [{ utf8String: 'gateway authority' }] }], ca = true, under } = options;
  const issuer = under?.keys ?? keys;
  const flags = ca ? KeyUsageFlags.keyCertSign : KeyUsageFlags.digitalSignature;
  return X509CertificateGenerator.create({
    subject: new Name(subject),
    issuer: under?.certificate.subjectName ?? new Name(subject),
    notBefore: new Date(options.from ?? Date.now() - DAY_MS),
    notAfter: new Date(options.until ?? Date.now() + DAY_MS),
    publicKey: keys.publicKey,
    signingKey: issuer.privateKey,
    signingAlgorithm: { hash: 'SHA-256', ...issuer.privateKey.algorithm } as never,
    extensions: [
      new BasicConstraintsExtension(ca, undefined, true),
      new KeyUsagesExtension(flags, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer.publicKey),
    ],
  });
}

/** Makes one and writes `<name>.crt` and `<name>.key`; those above it, if any, follow it in its file. */
export async function makeAuthority(
  folder: string,
  name: string,
  options: AuthorityOptions = {},
): Promise<MadeAuthority> {
  const algorithm: object = ALGORITHMS[options.keyType ?? 'P-256'];
  const keys = await webcrypto.subtle.generateKey(algorithm as never, true, ['sign', 'verify']);
  const pair: webcrypto.CryptoKeyPair = options.twinOf?.keys ?? keys;
  const certificate = await certify(pair, options);
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', pair.privateKey));
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const made = {
    cert: `${certificate.toString('pem')}\n${options.under?.cert ?? ''}`,
    key: key.export({ format: 'pem', type: 'pkcs8' }) as string,
    files: { ca: join(folder, `${name}.crt`), key: join(folder, `${name}.key`) },
  };
  writeFileSync(made.files.ca, made.cert);
  writeFileSync(made.files.key, made.key, { mode: 0o600 });
  return { ...made, certificate, keys: pair };
}
