/** The operators' HTTP listener. */
import { createServer } from 'node:http';
import { createAdaptorServer } from '@hono/node-server';
import type { ResolvedAdmin } from '../config/resolved.ts';
import { listening } from './listening.ts';
import type { Address } from './listening.ts';

/** Takes requests; whoever made it answers them. */
export class AdminServer {
  readonly #admin: ResolvedAdmin;
  readonly #server: ReturnType<typeof createServer>;

  constructor(admin: ResolvedAdmin, answer: (request: Request) => Promise<Response>) {
    this.#admin = admin;
    this.#server = createAdaptorServer({ fetch: answer, createServer }) as ReturnType<typeof createServer>;
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
