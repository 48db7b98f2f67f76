/** TLS towards clients: one tls.Server per listener that takes over sockets which have asked for it. */
import { constants, createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import tls from 'node:tls';
import type { SecureContext, TLSSocket } from 'node:tls';
import type { ListenTls } from '../listen.ts';
import { ConfigError } from '../errors.ts';
import type { GatewayError } from '../errors.ts';
import type { ClientCertificate } from '../session.ts';
import { Channel } from '../net/channel.ts';
import { lookAtCertificate } from './client-certificate.ts';
import { ClientGone } from './reader.ts';
import { Authorities, fingerprintOf } from '../x509/authorities.ts';
import { derOf, revocationListBlocks } from '../x509/pem.ts';
import { RevocationList } from '../x509/revocation-list.ts';
import { findByServername } from './server-name.ts';

/** The protocol's name in Application-Layer Protocol Negotiation (manual, 55.2.10 "SSL Session Encryption"). */
const ALPN = 'postgresql';
/** libpq's non-blocking interface hangs on records that are longer than its own 8 KiB reads. */
const RECORD_BYTES = 8192;

/** What a finished handshake tells about a client. */
export interface Secured {
  readonly channel: Channel;
  /** Server Name Indication (RFC 6066 §3). */
  readonly servername: string | undefined;
  /** Undefined without a verified one. */
  readonly certificate: ClientCertificate | undefined;
  /** The client named the protocol `postgresql` by ALPN. */
  readonly alpn: boolean;
  /** The certificate is not as the listener demands: nothing but this may be said to the client. */
  readonly fault: GatewayError | undefined;
}

interface Waiting {
  resolve(socket: TLSSocket): void;
  reject(error: Error): void;
}

interface Contexts {
  readonly options: tls.SecureContextOptions;
  readonly byName: ReadonlyMap<string, SecureContext>;
}

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

/** Reads and checks every file before anything is replaced. @throws ConfigError naming the file */
function readContexts(config: ListenTls): Contexts {
  const names = Object.entries(config.servernames ?? {});
  return {
    options: contextOptions(config, config),
    byName: new Map(
      names.map(([name, files]) => [
        name.toLowerCase(),
        tls.createSecureContext(contextOptions(files, config)),
      ]),
    ),
  };
}

function textOf(file: string | undefined): string {
  return file === undefined ? '' : readFileSync(file, 'utf8');
}

/** A list with those of the authorities that have signed it; none where an intermediate one has. */
interface SignedList {
  readonly list: RevocationList;
  /** As in {@link ClientCertificate.authority}. */
  readonly signers: readonly string[];
}

function readLists({ crl }: ListenTls, { all }: Authorities): readonly SignedList[] {
  return revocationListBlocks(textOf(crl)).map((block) => {
    const list = new RevocationList(derOf(block));
    const signers = all.filter((authority) => list.signedBy(authority) === true).map(fingerprintOf);
    return { list, signers };
  });
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

/** The four addresses of a connection: what its plain and its TLS socket have in common by documented means. */
function pathOf(socket: Socket): string {
  return `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}|${socket.localPort}`;
}

/** Serves the TLS handshakes of one listener. */
export class TlsTermination {
  readonly #version: string | undefined;
  readonly #server: tls.Server;
  readonly #waiting = new Map<string, Waiting>();
  readonly #contexts: Contexts;
  readonly #certificateRequired: boolean;
  readonly #authorities: Authorities;
  readonly #revocationLists: readonly SignedList[];

  /** @throws ConfigError when a certificate cannot be used */
  constructor(config: ListenTls) {
    // Before the files are read for use: one that changes in between makes the next look see a difference.
    this.#version = versionOf(config);
    this.#contexts = readContexts(config);
    this.#certificateRequired = config.clientCertificate === 'required';
    this.#authorities = new Authorities(textOf(config.clientCa));
    this.#revocationLists = readLists(config, this.#authorities);
    this.#server = tls.createServer({
      ...this.#contexts.options,
      ALPNProtocols: [ALPN],
      requestCert: config.clientCa !== undefined,
      // Node would cut the connection without a word.
      rejectUnauthorized: false,
      SNICallback: (name, done) => {
        done(null, findByServername(this.#contexts.byName, name));
      },
    });
    this.#server.on('secureConnection', (socket) => this.#waiting.get(pathOf(socket))?.resolve(socket));
    this.#server.on('tlsClientError', (error, socket) => {
      this.#waiting.get(pathOf(socket))?.reject(error);
      socket.destroy();
    });
  }

  /** Whether one made now for `config` would be the same, down to the content of the files. */
  serves(config: ListenTls): boolean {
    return this.#version !== undefined && this.#version === versionOf(config);
  }

  /** Lists that are out of date: until there are new ones, OpenSSL takes no certificate of their authorities. */
  get outdatedLists(): readonly RevocationList[] {
    const now = new Date();
    const all = this.#revocationLists.map(({ list }) => list);
    return all.filter(({ nextUpdate }) => nextUpdate && nextUpdate < now);
  }

  /** Whether a certificate that was good when its client came has been revoked by now. */
  revokes(certificate: ClientCertificate): boolean {
    const { authority } = certificate;
    return this.#revocationLists.some(
      ({ list, signers }) =>
        list.revokes(certificate) &&
        (!signers.length || authority === undefined || signers.includes(authority)),
    );
  }

  /**
   * Shakes hands on a paused channel; `first` are bytes of the client that were read already.
   * Has no deadline of its own: destroying the channel ends it.
   * @throws ClientGone when the handshake fails, its reason as `cause`
   */
  async secure(plain: Channel, first?: Buffer): Promise<Secured> {
    const { allowHalfOpen } = plain.socket;
    // The TLS socket inherits this, and has no owner until the handshake is done: the end of its input has to close it.
    plain.socket.allowHalfOpen = false;
    const socket = await this.#handshake(plain, first);
    socket.allowHalfOpen = allowHalfOpen;
    socket.setMaxSendFragment(RECORD_BYTES);
    const { certificate, fault } = lookAtCertificate(socket, this.#certificateRequired, this.#authorities);
    return {
      channel: new Channel(socket),
      servername: typeof socket.servername === 'string' ? socket.servername : undefined,
      certificate,
      alpn: socket.alpnProtocol === ALPN,
      fault,
    };
  }

  #handshake(plain: Channel, first: Buffer | undefined): Promise<TLSSocket> {
    const path = pathOf(plain.socket);
    return new Promise<TLSSocket>((resolve, reject) => {
      const failed = (cause: Error | undefined): void => {
        plain.destroy();
        reject(new ClientGone('TLS handshake failed', { cause }));
      };
      this.#waiting.set(path, { resolve, reject: failed });
      plain.listen({ bytes() {}, drained() {}, closed: failed });
      if (first) plain.socket.unshift(first);
      this.#server.emit('connection', plain.socket);
    }).finally(() => this.#waiting.delete(path));
  }
}
