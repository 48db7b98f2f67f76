/** Certificates for tests: an authority with a server and a client under it, and an authority nobody should trust. */
// oxlint-disable-next-line import/no-unassigned-import -- x509 needs it loaded first, and does not load it
import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  cryptoProvider,
} from '@peculiar/x509';
import type { Extension, JsonGeneralNames, X509Certificate } from '@peculiar/x509';

/** One certificate with its key, as PEM text and as files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** What {@link certificates} makes. */
export interface Certificates {
  /** Folder of all the files: `ca.crt`, `ca.key`, `server.crt`, … */
  readonly folder: string;
  readonly ca: Certificate;
  /** For `localhost`, `127.0.0.1` and `::1`, signed by `ca`. */
  readonly server: Certificate;
  /** For the server name `other.example`, signed by `ca`. */
  readonly other: Certificate;
  /** CN `client`, signed by `ca`. */
  readonly client: Certificate;
  /** CN `client`, signed by `ca`, good until an hour ago. */
  readonly expiredClient: Certificate;
  /** An authority that signed none of them. */
  readonly wrongCa: Certificate;
  /** For `localhost`, signed by `wrongCa`. */
  readonly wrongServer: Certificate;
  /** Removes the folder. */
  remove(): void;
}

interface Issuer {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const [HOUR_MS, DAY_MS] = [3_600_000, 86_400_000];

cryptoProvider.set(webcrypto);

function usage(names: JsonGeneralNames | undefined): Extension[] {
  if (!names) {
    return [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
    ];
  }
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    new SubjectAlternativeNameExtension(names),
  ];
}

/** Makes a certificate; an authority (self-signed) where no issuer is given. */
async function issue(
  name: string,
  issuer?: Issuer,
  names?: JsonGeneralNames,
  leftMs = DAY_MS,
): Promise<Issuer> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  // Typed names only: a plain string would be parsed, and could say more than one name.
  const subject = new Name([{ CN: [{ utf8String: name }] }]);
  const certificate = await X509CertificateGenerator.create({
    subject,
    issuer: issuer?.certificate.subjectName ?? subject,
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + leftMs),
    publicKey: keys.publicKey,
    signingKey: (issuer?.keys ?? keys).privateKey,
    signingAlgorithm: ALGORITHM,
    extensions: usage(names),
  });
  return { certificate, keys };
}

async function write(folder: string, file: string, { certificate, keys }: Issuer): Promise<Certificate> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const key = `-----BEGIN PRIVATE KEY-----\n${der.replace(/(.{64})/g, '$1\n')}\n-----END PRIVATE KEY-----\n`;
  const cert = `${certificate.toString('pem')}\n`;
  const [certFile, keyFile] = [join(folder, `${file}.crt`), join(folder, `${file}.key`)];
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key, { mode: 0o600 });
  return { cert, key, certFile, keyFile };
}

/** Makes them, valid from yesterday until tomorrow, and writes them to a temporary folder; call `remove` in `afterAll`. */
export async function certificates(): Promise<Certificates> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-certificates-'));
  const ca = await issue('Postern test CA');
  const wrongCa = await issue('Another CA');
  const local: JsonGeneralNames = [
    { type: 'dns', value: 'localhost' },
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
  ];
  return {
    folder,
    ca: await write(folder, 'ca', ca),
    server: await write(folder, 'server', await issue('localhost', ca, local)),
    other: await write(folder, 'other', await issue('other', ca, [{ type: 'dns', value: 'other.example' }])),
    client: await write(folder, 'client', await issue('client', ca, [{ type: 'dns', value: 'client' }])),
    expiredClient: await write(
      folder,
      'expired-client',
      await issue('client', ca, [{ type: 'dns', value: 'client' }], -HOUR_MS),
    ),
    wrongCa: await write(folder, 'wrong-ca', wrongCa),
    wrongServer: await write(folder, 'wrong-server', await issue('localhost', wrongCa, local)),
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
