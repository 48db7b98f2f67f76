/**
 * Makes what a try needs in the current folder: an authority, certificates, an issuer's key, passwords. What is there stays.
 * In earnest each of them comes from elsewhere: your authority, your identity provider, your store of secrets.
 */
import { randomBytes, webcrypto } from 'node:crypto';
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const PASSWORDS = ['postgres', 'reader', 'writer', 'replicator', 'valkey', 'fleet'];
/** The users of the images, by number: each key is readable by the one that serves with it. */
const SERVERS = [
  { folder: 'gateway', names: ['haproxy', 'localhost'], user: 65532 },
  { folder: 'postgres', names: ['primary', 'replica'], user: 999 },
];
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const YEAR_MS = 365 * 86_400_000;

const require = createRequire(`${process.env.POSTERN ?? '/opt/postern'}/package.json`);
// oxlint-disable-next-line import/no-unassigned-import -- x509 needs it loaded first, and does not load it
require('reflect-metadata');
const x509 = require('@peculiar/x509');
x509.cryptoProvider.set(webcrypto);

function newKeys() {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

function makePasswords() {
  mkdirSync('secrets', { recursive: true });
  for (const name of PASSWORDS) {
    const path = `secrets/${name}`;
    // The containers run as several users, and nobody else sees this volume.
    if (!existsSync(path)) writeFileSync(path, randomBytes(32).toString('base64url'), { mode: 0o644 });
  }
}

async function writeServer({ folder, names, user }, authority, signingKey) {
  const keys = await newKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    subject: `CN=${names[0]}`,
    issuer: authority.subject,
    publicKey: keys.publicKey,
    signingKey,
    signingAlgorithm: ALGORITHM,
    notAfter: new Date(Date.now() + YEAR_MS),
    extensions: [new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value })))],
  });
  const der = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/server.crt`, certificate.toString('pem'), { mode: 0o644 });
  writeFileSync(`${folder}/server.key`, x509.PemConverter.encode(der, 'PRIVATE KEY'), { mode: 0o600 });
  if (process.getuid() === 0) chownSync(`${folder}/server.key`, user, user);
}

/** The authority's key is kept nowhere: no other certificate can be made with it. */
async function makeCertificates() {
  if (existsSync('ca.crt')) return;
  const keys = await newKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=Postern on a laptop',
    keys,
    signingAlgorithm: ALGORITHM,
    notAfter: new Date(Date.now() + YEAR_MS),
    extensions: [new x509.BasicConstraintsExtension(true, 0, true)],
  });
  for (const server of SERVERS) await writeServer(server, authority, keys.privateKey);
  writeFileSync('ca.crt', authority.toString('pem'), { mode: 0o644 });
}

/** `jwks.json`, and the key behind it. */
async function makeIssuer() {
  if (existsSync('jwks.json')) return;
  await import(process.env.TOKEN_PROGRAM ?? '/token.js');
  chmodSync('jwks.json', 0o644);
}

makePasswords();
await makeCertificates();
await makeIssuer();
