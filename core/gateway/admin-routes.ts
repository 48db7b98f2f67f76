/** What the operators' HTTP interface answers: health for whoever asks, and what plugins mount for operators. */
import { Hono } from 'hono';
import { asGatewayError } from '../client/refuse.ts';
import { ConfigError, GatewayError } from '../errors.ts';
import type { Identity } from '../facts.ts';
import type { PinoLogger } from './log.ts';
import type { Operators } from './operators.ts';
import type { RouteOptions } from '../plugin.ts';
import type { MaybePromise } from '../session.ts';

/** One readiness check: a name, and the sentence that says why not. */
export interface Check {
  readonly name: string;
  readonly problem: string | undefined;
  /** What there is to say although nothing is wrong. */
  readonly note?: string;
}

/** What the routes are made of. */
export interface AdminRoutesOptions {
  readonly operators: Operators;
  readonly log: PinoLogger;
  readonly checks: () => readonly Check[];
}

/** Answers a request; `caller` is the operator who sent it, absent on public routes. */
export type RouteHandler = (request: Request, caller?: Identity) => MaybePromise<Response>;

/** `/livez`, `/readyz` and the routes of one config's plugins. */
export class AdminRoutes {
  readonly #options: AdminRoutesOptions;
  readonly #app = new Hono();
  readonly #paths = new Set(['/livez', '/readyz']);

  constructor(options: AdminRoutesOptions) {
    this.#options = options;
    this.#app.get('/livez', (context) => context.text('ok\n'));
    this.#app.get('/readyz', (context) => this.#readyz(context.req.query('verbose') !== undefined));
    this.#app.notFound(() => Response.json({ error: 'there is nothing at this path' }, { status: 404 }));
    this.#app.onError((error) => {
      const refusal = asGatewayError(error, options.log);
      return Response.json({ error: refusal.message }, { status: 500 });
    });
  }

  /** Mounts a handler, before the first request. @throws ConfigError for a path that is taken */
  mount(path: string, handler: RouteHandler, how: RouteOptions = {}): void {
    if (this.#paths.has(path)) throw new ConfigError(`the path ${path} is mounted twice on admin`);
    this.#paths.add(path);
    this.#app.all(path, async ({ req: { raw } }) => {
      if (how.public === true) return handler(raw);
      const caller = await this.#caller(raw);
      return caller instanceof Response ? caller : handler(raw, caller);
    });
  }

  async answer(request: Request): Promise<Response> {
    return this.#app.fetch(request);
  }

  #readyz(verbose: boolean): Response {
    const checks = this.#options.checks();
    const ready = checks.every(({ problem }) => problem === undefined);
    const verdict = ready ? 'ready' : 'not ready';
    const text = verbose || !ready ? [...checks.map(lineOf), verdict].join('\n') : verdict;
    return new Response(`${text}\n`, { status: ready ? 200 : 503 });
  }

  /** Who asks, or the answer to whoever is not an operator. */
  async #caller(request: Request): Promise<Identity | Response> {
    const [, token] = /^Bearer ([\w.~+/-]+=*)$/i.exec(request.headers.get('authorization') ?? '') ?? [];
    if (token === undefined) return refused(401, 'a token is needed');
    try {
      return (await this.#options.operators.recognize(token)) ?? refused(403, 'not an operator');
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return refused(401, 'the token is not good');
    }
  }
}

function refused(status: 401 | 403, error: string): Response {
  const headers = status === 401 ? { 'www-authenticate': 'Bearer' } : {};
  return Response.json({ error }, { status, headers });
}

function lineOf({ name, problem, note }: Check): string {
  if (problem !== undefined) return `[-] ${name}: ${problem}`;
  return note === undefined ? `[+] ${name}` : `[+] ${name}: ${note}`;
}
