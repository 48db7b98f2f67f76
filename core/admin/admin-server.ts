/** The operators' HTTP listener: TCP, with TLS or without, or a unix socket. */
import { createServer } from 'node:http';
import type { Server } from 'node:http';
import { Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:https';
import type { TLSSocket } from 'node:tls';
import { createAdaptorServer } from '@hono/node-server';
import { findByServername } from '../client/server-name.ts';
import type { ResolvedAdmin } from '../config/resolved.ts';
import { adminPlaceOf } from './admin-place.ts';
import { AdminConnections, HANDSHAKE_MS, SERVER_LIMITS } from './admin-connections.ts';
import { listening } from '../net/listening.ts';
import type { Address } from '../net/listening.ts';
import { UnixSocket } from '../net/unix-socket.ts';
import type { AdminEntrance } from '../workers/entrances.ts';
import type { TlsContexts } from '../x509/tls-contexts.ts';

/** Who asks without a `Host`, as HTTP/1.0 lets health checks do (RFC 1945), means whoever answers. */
const HOST = 'localhost';

/** The config version in force, as far as it is about this listener. */
export interface AdminInForce {
  readonly config: { readonly admin: ResolvedAdmin | undefined };
  /** Undefined: without TLS. */
  readonly adminTls: TlsContexts | undefined;
  answer(request: Request): Promise<Response>;
}

/** Takes requests; the config version in force answers them. */
export class AdminServer {
  readonly #admin: ResolvedAdmin;
  readonly #inForce: () => AdminInForce;
  readonly #server: Server;
  readonly #unixSocket: UnixSocket | undefined;
  readonly #connections = new AdminConnections();

  readonly #entrance: AdminEntrance | undefined;

  /** `entrance`: where connections come from. Default: it listens itself. */
  constructor(admin: ResolvedAdmin, inForce: () => AdminInForce, entrance?: AdminEntrance) {
    this.#entrance = entrance;
    this.#admin = admin;
    this.#inForce = inForce;
    const { unixSocket } = adminPlaceOf(admin);
    this.#unixSocket = unixSocket && new UnixSocket(unixSocket);
    this.#server = admin.tls ? this.#secureServer() : this.#serverOf(createServer, {});
    this.#connections.watch(this.#server);
  }

  /** @throws ConfigError when the address cannot be had */
  async listen(): Promise<Address> {
    if (this.#entrance) return this.#enter(this.#entrance);
    const { host, port } = this.#admin;
    const unixSocket = this.#unixSocket;
    await unixSocket?.claim();
    this.#server.listen(unixSocket ? { path: unixSocket.bindFile } : { host, port });
    try {
      const address = await listening(this.#server, 'admin', host, port);
      unixSocket?.publish();
      return address;
    } catch (error) {
      unixSocket?.release();
      this.#server.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#entrance) return this.#leave(this.#entrance);
    if (!this.#server.listening) return;
    this.#unixSocket?.release();
    await new Promise((resolve) => {
      this.#server.close(resolve);
      // Those that node:http does not know yet, in the middle of a TLS handshake, as well.
      this.#connections.close();
    });
  }

  /** In a worker: lets nobody in any more, since another worker does. Resolves when those who have come are answered. */
  async finish(): Promise<void> {
    this.#entrance?.close();
    await this.#connections.finish();
  }

  #enter(entrance: AdminEntrance): Address {
    const server = this.#server;
    // node:http begins to watch its time limits then.
    server.emit('listening');
    entrance.open((handle) => {
      const options = { handle, allowHalfOpen: true };
      server.emit('connection', new Socket(options));
    });
    return entrance.address;
  }

  #leave(entrance: AdminEntrance): void {
    entrance.close();
    this.#connections.close();
    // It never listened; this ends its timers.
    this.#server.close(() => {});
  }

  #serverOf(create: typeof createServer | typeof createTlsServer, options: object): Server {
    const fetch = (request: Request): Promise<Response> => this.#inForce().answer(request);
    const serverOptions = { ...SERVER_LIMITS, ...options };
    return createAdaptorServer({ fetch, hostname: HOST, createServer: create, serverOptions }) as Server;
  }

  #secureServer(): Server {
    let used = this.#inForce().adminTls;
    const options = {
      ...used?.options,
      handshakeTimeout: HANDSHAKE_MS,
      requestCert: this.#admin.tls?.clientCa !== undefined,
      // Whether one is required may change with the config.
      rejectUnauthorized: false,
      SNICallback: (name: string, done: (error: null, context?: object) => void) => {
        done(null, findByServername(this.#inForce().adminTls?.byName ?? new Map<string, object>(), name));
      },
    };
    const server = this.#serverOf(createTlsServer, options) as ReturnType<typeof createTlsServer>;
    server.prependListener('connection', () => {
      const { adminTls } = this.#inForce();
      if (adminTls && adminTls !== used) server.setSecureContext(adminTls.options);
      used = adminTls;
    });
    server.prependListener('secureConnection', (socket) => {
      if (!this.#mayCome(socket)) socket.destroy();
      else this.#connections.secured(socket);
    });
    return server;
  }

  /** A client without a certificate may come where none is required; one that shows a certificate shows a good one. */
  #mayCome(socket: TLSSocket): boolean {
    const { tls } = this.#inForce().config.admin ?? {};
    if (tls?.clientCa === undefined || socket.authorized) return true;
    return tls.clientCertificate === 'optional' && Object.keys(socket.getPeerCertificate()).length === 0;
  }
}
