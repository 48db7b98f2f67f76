/** What the operators' HTTP interface answers: health for whoever asks, and what plugins mount for operators. */
import { Hono } from 'hono';
import { asGatewayError } from '../client/refuse.ts';
import type { AdminOptions } from '../config.ts';
import { ConfigError, GatewayError } from '../errors.ts';
import type { Identity, TokenVerifier } from '../facts.ts';
import type { PinoLogger } from './log.ts';
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
  readonly operators: AdminOptions['operators'];
  readonly log: PinoLogger;
  readonly checks: () => readonly Check[];
  /** Undefined: no plugin verifies tokens, and nobody is an operator. */
  readonly verifier: () => TokenVerifier | undefined;
}

/** `/livez`, `/readyz` and the routes of one config's plugins. */
export class AdminRoutes {
  readonly #options: AdminRoutesOptions;
  readonly #app = new Hono();
  readonly #paths = new Set(['/livez', '/readyz']);

  constructor(options: AdminRoutesOptions) {
    this.#options = options;
    this.#app.get('/livez', (context) => context.text('ok\n'));
    this.#app.get('/readyz', (context) => this.#readyz(context.req.query('verbose') !== undefined));
    this.#app.onError((error) => {
      const refusal = asGatewayError(error, options.log);
      return Response.json({ error: refusal.message }, { status: 500 });
    });
  }

  /** Mounts a handler, before the first request. @throws ConfigError for a path that is taken */
  mount(path: string, handler: (request: Request) => MaybePromise<Response>, how: RouteOptions = {}): void {
    if (this.#paths.has(path)) throw new ConfigError(`the path ${path} is mounted twice on admin`);
    this.#paths.add(path);
    this.#app.all(path, async ({ req: { raw } }) => {
      const refused = how.public === true ? undefined : await this.#refused(raw);
      return refused ?? (await handler(raw));
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

  /** The answer to whoever is not an operator. */
  async #refused(request: Request): Promise<Response | undefined> {
    const [, token] = /^Bearer ([\w.~+/-]+=*)$/i.exec(request.headers.get('authorization') ?? '') ?? [];
    const verifier = this.#options.verifier();
    const headers = { 'www-authenticate': 'Bearer' };
    if (token === undefined || !verifier)
      return new Response('a token is needed\n', { status: 401, headers });
    try {
      const identity = await verifier.verify(token);
      return this.#isOperator(identity) ? undefined : new Response('not an operator\n', { status: 403 });
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      return new Response('the token is not good\n', { status: 401, headers });
    }
  }

  #isOperator({ claims, issuer }: Identity): boolean {
    const { operators } = this.#options;
    if (!operators || !Object.hasOwn(claims, operators.claim)) return false;
    if (operators.issuer !== undefined && operators.issuer !== issuer) return false;
    const claim = claims[operators.claim];
    return claim === operators.value || (Array.isArray(claim) && claim.includes(operators.value));
  }
}

function lineOf({ name, problem, note }: Check): string {
  if (problem !== undefined) return `[-] ${name}: ${problem}`;
  return note === undefined ? `[+] ${name}` : `[+] ${name}: ${note}`;
}
