/** The operators' HTTP listener. */
import { createServer } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { ResolvedAdmin } from '../config/resolved.ts';
import { AdminConnections, SERVER_LIMITS } from './admin-connections.ts';
import { listening } from './listening.ts';
import type { Address } from './listening.ts';

/** Who asks without a `Host`, as HTTP/1.0 lets health checks do (RFC 1945), means whoever answers. */
const HOST = 'localhost';

/** Takes requests; whoever made it answers them. */
export class AdminServer {
  readonly #admin: ResolvedAdmin;
  readonly #server: ReturnType<typeof createServer>;

  constructor(admin: ResolvedAdmin, answer: (request: Request) => Promise<Response>) {
    this.#admin = admin;
    const options = { fetch: answer, hostname: HOST, createServer, serverOptions: SERVER_LIMITS };
    this.#server = createAdaptorServer(options) as ReturnType<typeof createServer>;
    new AdminConnections().watch(this.#server);
  }

  /** @throws ConfigError when the address cannot be had */
  listen(): Promise<Address> {
    const { host, port } = this.#admin;
    this.#server.listen({ host, port });
    return listening(this.#server, 'admin', host, port);
  }

  async close(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise((resolve) => {
      this.#server.close(resolve);
      this.#server.closeAllConnections();
    });
  }
}
