/** What the files of a listener's TLS give: its certificate, those by server name, and authorities of clients. */
import { constants, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import type { SecureContext } from 'node:tls';
import { ConfigError } from '../contract/errors.ts';
import type { ListenTls } from '../contract/listen.ts';
import { revocationListBlocks } from './pem.ts';

function contextOptions(
  where: { cert: string; key: string },
  { clientCa, crl }: ListenTls,
): tls.SecureContextOptions {
  try {
    const options: tls.SecureContextOptions = {
      cert: readFileSync(where.cert),
      key: readFileSync(where.key),
      minVersion: 'TLSv1.2',
      // The client is identified by one full handshake: a resumed session carries a certificate that was not verified this
      // time, a renegotiated one another. PostgreSQL has neither.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    };
    if (clientCa !== undefined) options.ca = readFileSync(clientCa);
    if (crl !== undefined) options.crl = [...revocationListBlocks(readFileSync(crl, 'utf8'))];
    tls.createSecureContext(options);
    return options;
  } catch (error) {
    throw new ConfigError(`TLS certificate ${where.cert}: ${(error as Error).message}`);
  }
}

/** Changes with every word of the config and every byte of its files; undefined where one of them cannot be read. */
function versionOf(config: ListenTls): string | undefined {
  const { cert, key, clientCa, crl, servernames = {} } = config;
  const pairs = [{ cert, key }, ...Object.values(servernames)];
  const files = [
    ...pairs.flatMap((pair) => [pair.cert, pair.key]),
    ...[clientCa, crl].filter((file) => file !== undefined),
  ];
  const hash = createHash('sha256').update(JSON.stringify(config));
  try {
    for (const file of files) {
      const content = readFileSync(file);
      hash.update(`|${content.length}|`).update(content);
    }
  } catch {
    return undefined;
  }
  return hash.digest('hex');
}

/** One reading of all the files. */
export class TlsContexts {
  /** For clients that name no server, or one that is not known. */
  readonly options: tls.SecureContextOptions;
  /** By server name in lower case, `*` for its first label included. */
  readonly byName: ReadonlyMap<string, SecureContext>;
  readonly #version: string | undefined;

  /** Reads and checks every file. @throws ConfigError naming the file */
  constructor(config: ListenTls) {
    // Before the files are read for use: one that changes in between makes the next look see a difference.
    this.#version = versionOf(config);
    this.options = contextOptions(config, config);
    const names = Object.entries(config.servernames ?? {});
    this.byName = new Map(
      names.map(([name, files]) => [
        name.toLowerCase(),
        tls.createSecureContext(contextOptions(files, config)),
      ]),
    );
  }

  /** Whether one made now for `config` would be the same, down to the content of the files. */
  serves(config: ListenTls): boolean {
    return this.#version !== undefined && this.#version === versionOf(config);
  }
}
