/** Looks into the certificate files of a config at boot: a file that cannot be used stops it, not a client's login. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { ConfigError } from '../contract/errors.ts';
import { certificateBlocks } from '../x509/pem.ts';

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Reads a PEM file as text. @throws ConfigError naming `where` and the file */
export function readPem(path: string, where: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`${where}: cannot read ${path}: ${messageOf(error)}`);
  }
}

/**
 * Checks a PEM file of certificates.
 * @param where the place in the config, for the message
 * @throws ConfigError naming `where` and the file
 */
export function checkCertificates(path: string, where: string): void {
  const blocks = certificateBlocks(readPem(path, where));
  if (blocks.length === 0) throw new ConfigError(`${where}: no PEM certificate in ${path}`);
  for (const block of blocks) {
    try {
      void new X509Certificate(block);
    } catch (error) {
      throw new ConfigError(`${where}: broken certificate in ${path}: ${messageOf(error)}`);
    }
  }
}

/**
 * Checks a certificate and its private key, and that they belong together.
 * @param where the place in the config, for the message
 * @throws ConfigError naming `where` and the files; never the key's content
 */
export function checkKeyPair(pair: { readonly cert: string; readonly key: string }, where: string): void {
  checkCertificates(pair.cert, `${where}.cert`);
  const key = readPem(pair.key, `${where}.key`);
  try {
    createSecureContext({ cert: readFileSync(pair.cert), key });
  } catch (error) {
    throw new ConfigError(
      `${where}.key: ${pair.key} is no private key for ${pair.cert}: ${messageOf(error)}`,
    );
  }
}
