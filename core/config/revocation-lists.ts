/** Looks into a file of revocation lists at boot: what is wrong with it would refuse every client certificate. */
import { X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { ConfigError } from '../contract/errors.ts';
import { certificateBlocks, derOf, revocationListBlocks } from '../x509/pem.ts';
import { RevocationList } from '../x509/revocation-list.ts';
import { readPem } from './tls-files.ts';

function readList(block: string, path: string, where: string): RevocationList {
  try {
    // OpenSSL has to read it as well: an empty line in it is enough, and it does not.
    createSecureContext({ crl: block });
    return new RevocationList(derOf(block));
  } catch (error) {
    throw new ConfigError(`${where}: broken revocation list in ${path}: ${(error as Error).message}`);
  }
}

const one = (name: string): string => name.replaceAll('\n', ', ');

/**
 * Checks that there is a list of each authority: where there is none, OpenSSL takes no certificate of it. A list that is out of
 * date refuses them as well; the gateway boots with it, because clients without a certificate are not concerned.
 * @param where the place in the config, for the message
 * @throws ConfigError naming `where` and the file
 */
export function checkRevocationLists(path: string, clientCa: string, where: string): void {
  const blocks = revocationListBlocks(readPem(path, where));
  if (blocks.length === 0) throw new ConfigError(`${where}: no PEM revocation list (X509 CRL) in ${path}`);
  const lists = blocks.map((block) => readList(block, path, where));
  const authorities = certificateBlocks(readPem(clientCa, where)).map((block) => new X509Certificate(block));
  const silent = authorities.find((authority) => !lists.some((list) => list.signedBy(authority) ?? true));
  if (!silent) return;
  throw new ConfigError(
    `${where}: no list in ${path} is signed by ${one(silent.subject)} of clientCa: each of its certificates would be refused`,
  );
}
