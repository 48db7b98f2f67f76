/** Authorities of client certificates for tests: certificates with any names, and lists of those that are revoked. */
// oxlint-disable-next-line import/no-unassigned-import -- x509 needs it loaded first, and does not load it
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509CrlReason,
  X509CrlGenerator,
  cryptoProvider,
} from '@peculiar/x509';
import type { JsonGeneralNames, JsonName, X509Certificate } from '@peculiar/x509';
import type { Certificate } from './certificates.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const DAY_MS = 86_400_000;

cryptoProvider.set(webcrypto);

/** What a certificate says. */
export interface Wanted {
  /** Default: no name. */
  readonly subject?: JsonName | string;
  readonly names?: JsonGeneralNames;
  /** The content of the extension as it is, for what no library writes. Default: `names`. */
  readonly rawNames?: Buffer;
  /** Milliseconds from now. Default: a day. */
  readonly leftMs?: number;
  /** Hex. Default: a random one. */
  readonly serialNumber?: string;
}

/** A certificate with its serial number. */
export interface Issued extends Certificate {
  readonly serialNumber: string;
}

/** DER with a short length. */
export function der(tag: number, ...content: readonly (Buffer | string)[]): Buffer {
  const bytes = Buffer.concat(content.map((one) => Buffer.from(one)));
  const length = bytes.length < 0x80 ? [bytes.length] : [0x82, bytes.length >> 8, bytes.length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...length]), bytes]);
}

function nameOf(subject: JsonName | string): Name {
  return new Name(typeof subject === 'string' ? [{ CN: [{ utf8String: subject }] }] : subject);
}

/** One authority. */
export class ClientAuthority {
  readonly #folder: string;
  readonly #keys: webcrypto.CryptoKeyPair;
  readonly certificate: X509Certificate;
  readonly file: string;
  /** Of its own certificate. */
  readonly pem: string;

  private constructor(folder: string, keys: webcrypto.CryptoKeyPair, certificate: X509Certificate) {
    this.#folder = folder;
    this.#keys = keys;
    this.certificate = certificate;
    this.pem = `${certificate.toString('pem')}\n`;
    this.file = join(folder, `authority-${randomBytes(4).toString('hex')}.crt`);
    writeFileSync(this.file, this.pem);
  }

  /** `above`: who signs it. Default: it signs itself. */
  static async make(folder: string, name: string, above?: ClientAuthority): Promise<ClientAuthority> {
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const certificate = await X509CertificateGenerator.create({
      subject: nameOf(name),
      issuer: above?.certificate.subjectName ?? nameOf(name),
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + DAY_MS),
      publicKey: keys.publicKey,
      signingKey: (above ? above.#keys : keys).privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    });
    return new ClientAuthority(folder, keys, certificate);
  }

  async issue({ subject = [], names, rawNames, leftMs = DAY_MS, serialNumber }: Wanted): Promise<Issued> {
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
    const alternative = rawNames
      ? [new Extension('2.5.29.17', false, rawNames)]
      : names
        ? [new SubjectAlternativeNameExtension(names)]
        : [];
    const certificate = await X509CertificateGenerator.create({
      subject: nameOf(subject),
      issuer: this.certificate.subjectName,
      notBefore: new Date(Date.now() - DAY_MS),
      notAfter: new Date(Date.now() + leftMs),
      publicKey: keys.publicKey,
      signingKey: this.#keys.privateKey,
      signingAlgorithm: ALGORITHM,
      ...(serialNumber !== undefined && { serialNumber }),
      extensions: [
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth]),
        // OpenSSL tells authorities of one name apart by this alone.
        await AuthorityKeyIdentifierExtension.create(this.#keys.publicKey),
        ...alternative,
      ],
    });
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
    const key = `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/(.{64})(?=.)/g, '$1\n')}\n-----END PRIVATE KEY-----\n`;
    const file = join(this.#folder, `client-${randomBytes(4).toString('hex')}`);
    const [certFile, keyFile, cert] = [`${file}.crt`, `${file}.key`, `${certificate.toString('pem')}\n`];
    writeFileSync(certFile, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    return { cert, key, certFile, keyFile, serialNumber: certificate.serialNumber };
  }

  /** A list as PEM. `nextMs`: milliseconds from now to the next one. Default: a day. */
  async list(revoked: readonly Issued[], nextMs = DAY_MS): Promise<string> {
    const crl = await X509CrlGenerator.create({
      issuer: this.certificate.subject,
      thisUpdate: new Date(Date.now() - 2 * DAY_MS),
      nextUpdate: new Date(Date.now() + nextMs),
      entries: revoked.map(({ serialNumber }) => ({
        serialNumber,
        revocationDate: new Date(Date.now() - DAY_MS),
        reason: X509CrlReason.keyCompromise,
      })),
      signingKey: this.#keys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [await AuthorityKeyIdentifierExtension.create(this.#keys.publicKey)],
    });
    const body = crl.toString('base64').replace(/(.{64})(?=.)/g, '$1\n');
    return `-----BEGIN X509 CRL-----\n${body}\n-----END X509 CRL-----\n`;
  }
}
