/** The connections of `admin`: how long each may be of no use, how many there may be, and which has to go for another. */
import type { IncomingMessage, Server, ServerOptions, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';

/** How long a request may take to come, and a client to take its answer or to ask again, in milliseconds. */
const LIMIT_MS = 10_000;
/** The same for a TLS handshake. */
export const HANDSHAKE_MS = LIMIT_MS;
/** Later than node:http looks, which answers 408 (RFC 9110 §15.5.9) where a request has not come in time. */
const POLL_MS = 1_000;
/** How often it is looked whether those that are there have been answered, in milliseconds. */
const FINISH_POLL_MS = 10;
/** Connections at once. */
const MOST = 256;

/** Longest header fields of a request, in bytes: a token of the longest kind, and what is usual besides. */
const MAX_HEADER_BYTES = 65_536 + 16_384;

/** What node:http bounds by itself. It does not see who takes no answer, or sends line breaks instead of a request. */
export const SERVER_LIMITS = {
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: LIMIT_MS,
  requestTimeout: LIMIT_MS,
  keepAliveTimeout: LIMIT_MS,
  connectionsCheckingInterval: POLL_MS / 2,
} as const satisfies ServerOptions;

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/** One connection. */
class Guest {
  readonly socket: Socket;
  readonly #exchanges = new Set<Exchange>();
  /** When it was of use last, by the monotonic clock. */
  #since = performance.now();
  #taken = 0;
  #hasAsked = false;

  constructor(socket: Socket) {
    this.socket = socket;
  }

  /** A whole request has come, and its answer is being made. */
  get served(): boolean {
    return [...this.#exchanges].some(({ request, response }) => request.complete && !response.writableEnded);
  }

  /** It has been answered, and asks nothing now. */
  get rests(): boolean {
    return this.#hasAsked && this.#exchanges.size === 0;
  }

  begin(exchange: Exchange): void {
    this.#hasAsked = true;
    this.#since = performance.now();
    this.#exchanges.add(exchange);
    exchange.response.once('close', () => {
      this.#since = performance.now();
      this.#exchanges.delete(exchange);
    });
  }

  /** Whether it has been of no use for too long. */
  overstays(now: number): boolean {
    const { bytesWritten, writableLength } = this.socket;
    const taken = bytesWritten - writableLength;
    // Whoever waits for an answer that takes its time, such as that to a PAUSE, may.
    if (taken !== this.#taken || (this.served && writableLength === 0)) this.#since = now;
    this.#taken = taken;
    return now - this.#since > LIMIT_MS + POLL_MS;
  }
}

/** What the plain and the TLS socket of a connection have in common by documented means. */
function pathOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}|${remotePort}`;
}

/** One per server. */
export class AdminConnections {
  /** The oldest first. */
  readonly #guests = new Map<Socket, Guest>();
  #looking: NodeJS.Timeout | undefined;

  /** From the server's first connection on. */
  watch(server: Server): void {
    server.on('connection', (socket) => this.#add(socket));
    server.on('request', (request, response) =>
      this.#guests.get(request.socket)?.begin({ request, response }),
    );
  }

  /** The TLS of a connection is there: from now on it stands for it. */
  secured(secure: TLSSocket): void {
    const plain = [...this.#guests.keys()].find((socket) => pathOf(socket) === pathOf(secure));
    if (!plain) return;
    this.#guests.delete(plain);
    this.#guests.set(secure, new Guest(secure));
    secure.once('close', () => this.#leave(secure));
  }

  /** Resolves when all who have come are answered and gone: nobody asks a second time. */
  async finish(): Promise<void> {
    while (this.#guests.size > 0) {
      for (const guest of this.#guests.values()) if (guest.rests) this.#leave(guest.socket);
      await sleep(FINISH_POLL_MS);
    }
  }

  /** Destroys all of them. */
  close(): void {
    for (const socket of this.#guests.keys()) this.#leave(socket);
  }

  /** A flood of connections that ask nothing pushes out itself: who asks at once, as health checks do, is answered. */
  #add(socket: Socket): void {
    const full = this.#guests.size >= MOST;
    const useless = full ? [...this.#guests.values()].find(({ served }) => !served) : undefined;
    if (full) this.#leave(useless?.socket ?? socket);
    if (socket.destroyed) return;
    this.#guests.set(socket, new Guest(socket));
    socket.once('close', () => this.#leave(socket));
    this.#looking ??= setInterval(() => this.#look(), POLL_MS).unref();
  }

  #leave(socket: Socket): void {
    socket.destroy();
    this.#guests.delete(socket);
    if (this.#guests.size > 0) return;
    clearInterval(this.#looking);
    this.#looking = undefined;
  }

  #look(): void {
    const now = performance.now();
    for (const guest of this.#guests.values()) if (guest.overstays(now)) this.#leave(guest.socket);
  }
}
