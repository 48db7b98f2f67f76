// oxlint-disable-next-line import/no-unassigned-import -- x509 needs it loaded first, and does not load it
import 'reflect-metadata';
import { createHash, webcrypto } from 'node:crypto';
import { X509CertificateGenerator, cryptoProvider } from '@peculiar/x509';
import { describe, expect, test } from 'vitest';
import { serverEndPoint } from '../../../core/wire/channel-binding.ts';

cryptoProvider.set(webcrypto);

type Algorithm = webcrypto.EcKeyGenParams | webcrypto.RsaHashedKeyGenParams | { name: string };
type Signing = Parameters<typeof X509CertificateGenerator.createSelfSigned>[0]['signingAlgorithm'];

async function certificate(algorithm: Algorithm, signingAlgorithm?: Signing): Promise<Buffer> {
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
  const options = { name: 'CN=test', keys, ...(signingAlgorithm && { signingAlgorithm }) };
  return Buffer.from((await X509CertificateGenerator.createSelfSigned(options)).rawData);
}

const rsa = (name: string, hash: string): Algorithm => ({
  name,
  hash,
  modulusLength: 2048,
  publicExponent: Uint8Array.of(1, 0, 1),
});

describe('the hash of a certificate is that of its signature, sha256 at least', () => {
  test.each([
    ['RSASSA-PKCS1-v1_5', 'SHA-1', 'sha256'],
    ['RSASSA-PKCS1-v1_5', 'SHA-256', 'sha256'],
    ['RSASSA-PKCS1-v1_5', 'SHA-384', 'sha384'],
    ['RSASSA-PKCS1-v1_5', 'SHA-512', 'sha512'],
    ['RSA-PSS', 'SHA-1', 'sha256'],
    ['RSA-PSS', 'SHA-256', 'sha256'],
    ['RSA-PSS', 'SHA-384', 'sha384'],
    ['RSA-PSS', 'SHA-512', 'sha512'],
  ])('%s with %s: %s', async (name, hash, expected) => {
    const der = await certificate(rsa(name, hash), { name, hash, saltLength: 20 } as Signing);
    expect(serverEndPoint(der)).toEqual(createHash(expected).update(der).digest());
  });

  test.each([
    ['SHA-1', 'sha256'],
    ['SHA-256', 'sha256'],
    ['SHA-384', 'sha384'],
    ['SHA-512', 'sha512'],
  ])('ECDSA with %s: %s', async (hash, expected) => {
    const der = await certificate({ name: 'ECDSA', namedCurve: 'P-256' }, { name: 'ECDSA', hash });
    expect(serverEndPoint(der)).toEqual(createHash(expected).update(der).digest());
  });
});

test('a signature without a hash of its own cannot be bound to', async () => {
  expect(serverEndPoint(await certificate({ name: 'Ed25519' }))).toBeUndefined();
});

test.each(['', '30', '3080', '30ff', '3084ffffffff', '308500000000000000', '30023000', '3006300030020600'])(
  'what is no certificate cannot be bound to: %s',
  (hex) => {
    expect(serverEndPoint(Buffer.from(hex, 'hex'))).toBeUndefined();
  },
);
