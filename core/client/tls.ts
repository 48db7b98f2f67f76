/** TLS towards clients: one tls.Server per listener that takes over sockets which have asked for it. */
import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import type { TLSSocket } from 'node:tls';
import type { ListenTls } from '../contract/listen.ts';
import type { GatewayError } from '../contract/errors.ts';
import type { Client, ClientCertificate } from '../contract/session.ts';
import { Channel } from '../net/channel.ts';
import type { ChannelSocket } from '../net/socket-events.ts';
import { StreamSocket } from '../net/stream-socket.ts';
import { lookAtCertificate, unshown } from './client-certificate.ts';
import { ClientGone } from './reader.ts';
import { Authorities, fingerprintOf } from '../x509/authorities.ts';
import { derOf, revocationListBlocks } from '../x509/pem.ts';
import { RevocationList } from '../x509/revocation-list.ts';
import { TlsContexts } from '../x509/tls-contexts.ts';
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

/** The four addresses of a connection: what its plain and its TLS socket have in common by documented means. */
function pathOf(socket: ChannelSocket): string {
  return `${socket.remoteAddress}|${socket.remotePort}|${socket.localAddress}|${socket.localPort}`;
}

/** Serves the TLS handshakes of one listener. */
export class TlsTermination {
  readonly #options: tls.TlsOptions;
  readonly #server: tls.Server;
  readonly #waiting = new Map<string, Waiting>();
  readonly #contexts: TlsContexts;
  readonly #certificateRequired: boolean;
  readonly #authorities: Authorities;
  readonly #revocationLists: readonly SignedList[];

  /** @throws ConfigError when a certificate cannot be used */
  constructor(config: ListenTls) {
    this.#contexts = new TlsContexts(config);
    this.#certificateRequired = config.clientCertificate === 'required';
    this.#authorities = new Authorities(textOf(config.clientCa));
    this.#revocationLists = readLists(config, this.#authorities);
    this.#options = {
      ...this.#contexts.options,
      ALPNProtocols: [ALPN],
      requestCert: config.clientCa !== undefined,
      // Node would cut the connection without a word.
      rejectUnauthorized: false,
      SNICallback: (name, done) => {
        done(null, findByServername(this.#contexts.byName, name));
      },
    };
    this.#server = this.#serverOf((socket) => this.#waiting.get(pathOf(socket)));
  }

  /** It never listens: connections are given to it. */
  #serverOf(waiting: (socket: TLSSocket) => Waiting | undefined): tls.Server {
    const server = tls.createServer(this.#options);
    server.on('secureConnection', (socket) => waiting(socket)?.resolve(socket));
    server.on('tlsClientError', (error, socket) => {
      waiting(socket)?.reject(error);
      socket.destroy();
    });
    return server;
  }

  /** Why a client without a handshake here may say nothing, over a way that is encrypted already; undefined where it may. */
  faultOf(client: Pick<Client, 'tls'>): GatewayError | undefined {
    return this.#certificateRequired ? unshown(client) : undefined;
  }

  /** Whether one made now for `config` would be the same, down to the content of the files. */
  serves(config: ListenTls): boolean {
    return this.#contexts.serves(config);
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
    const { socket } = plain;
    const path = pathOf(socket);
    return new Promise<TLSSocket>((resolve, reject) => {
      const failed = (cause: Error | undefined): void => {
        plain.destroy();
        reject(new ClientGone('TLS handshake failed', { cause }));
      };
      const waiting = { resolve, reject: failed };
      // Streams have no addresses to be told apart by.
      const own = socket instanceof StreamSocket;
      if (!own) this.#waiting.set(path, waiting);
      plain.listen({ bytes() {}, drained() {}, closed: failed });
      if (first) socket.unshift(first);
      (own ? this.#serverOf(() => waiting) : this.#server).emit('connection', socket);
    }).finally(() => this.#waiting.delete(path));
  }
}
