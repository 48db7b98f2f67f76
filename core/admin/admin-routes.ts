/** What the operators' HTTP interface answers: health for whoever asks, and what plugins mount for operators. */
import { Hono } from 'hono';
import { asGatewayError } from '../client/refuse.ts';
import { ConfigError, GatewayError } from '../contract/errors.ts';
import type { Identity } from '../contract/facts.ts';
import type { PinoLogger } from '../telemetry/log.ts';
import type { Operators } from './operators.ts';
import { reasonOf } from '../contract/reason.ts';
import type { RouteOptions } from '../contract/route.ts';
import { printable } from '../options/shown.ts';
import type { MaybePromise } from '../contract/session.ts';

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
  readonly checks: () => MaybePromise<readonly Check[]>;
}

/** Answers a request; `caller` is the operator who sent it, absent on public routes. */
export type RouteHandler = (request: Request, caller?: Identity) => MaybePromise<Response>;

const text = (description: string): { readonly description: string; readonly content: object } => ({
  description,
  content: { 'text/plain': { schema: { type: 'string' } } },
});

/** Tokens that are checked at once: strangers who wait for keys that do not come must leave connections to health checks. */
const MOST_CHECKED = 64;

/** What the gateway answers to whoever asks, without plugins. */
const OWN: Readonly<Record<string, RouteOptions>> = {
  '/livez': {
    public: true,
    openapi: { get: { summary: 'Whether the process lives', responses: { 200: text('It does.') } } },
  },
  '/readyz': {
    public: true,
    openapi: {
      get: {
        summary: 'Whether logins are welcome',
        parameters: [{ name: 'verbose', in: 'query', schema: { type: 'string' }, allowEmptyValue: true }],
        responses: { 200: text('They are.'), 503: text('They are not: why, one check per line.') },
      },
    },
  },
};

/** `/livez`, `/readyz` and the routes of one config's plugins. */
export class AdminRoutes {
  readonly #options: AdminRoutesOptions;
  readonly #app = new Hono();
  readonly #routes = new Map(Object.entries(OWN));
  #checking = 0;

  constructor(options: AdminRoutesOptions) {
    this.#options = options;
    this.#app.get('/livez', (context) => context.text('ok\n'));
    this.#app.get('/readyz', (context) => this.#readyz(context.req.query('verbose') !== undefined));
    this.#app.notFound(() => Response.json({ error: 'there is nothing at this path' }, { status: 404 }));
    this.#app.onError((error, { req: { raw } }) => this.#failed(error, raw));
  }

  /** Mounts a handler, before the first request. @throws ConfigError for a path that is taken */
  mount(path: string, handler: RouteHandler, how: RouteOptions = {}): void {
    if (this.#routes.has(path)) throw new ConfigError(`the path ${path} is mounted twice on admin`);
    this.#routes.set(path, how);
    this.#app.all(path, async ({ req: { raw } }) => {
      const caller = how.public === true ? undefined : await this.#caller(raw);
      if (caller instanceof Response) return caller;
      const answer: Response | undefined = wrongMethod(raw, how) ?? (await handler(raw, caller));
      // Otherwise Hono says that there is nothing at this path.
      if (!answer) throw new Error(`the route ${path} gives no Response`);
      return answer;
    });
  }

  /** How each path is mounted, the gateway's own first. */
  get routes(): ReadonlyMap<string, RouteOptions> {
    return this.#routes;
  }

  async answer(request: Request): Promise<Response> {
    try {
      return await this.#app.fetch(request);
    } catch (thrown) {
      // Hono gives its error handler instances of Error only.
      return this.#failed(thrown, request);
    }
  }

  #failed(thrown: unknown, { signal }: Request): Response {
    // Who leaves in the middle of a request reads no answer, and must not fill the log either.
    if (signal.aborted) return Response.json({ error: 'the request was not completed' }, { status: 400 });
    const refusal = asGatewayError(thrown, this.#options.log);
    return Response.json({ error: refusal.message }, { status: 500 });
  }

  async #readyz(verbose: boolean): Promise<Response> {
    const checks = await this.#options.checks();
    const ready = checks.every(({ problem }) => problem === undefined);
    const verdict = ready ? 'ready' : 'not ready';
    const text = verbose || !ready ? [...checks.map(lineOf), verdict].join('\n') : verdict;
    return new Response(`${text}\n`, { status: ready ? 200 : 503 });
  }

  /** Who asks, or the answer to whoever is not an operator. */
  async #caller(request: Request): Promise<Identity | Response> {
    const [, token] = /^Bearer ([\w.~+/-]+=*)$/i.exec(request.headers.get('authorization') ?? '') ?? [];
    if (token === undefined) return refused(401, 'a token is needed');
    if (this.#checking >= MOST_CHECKED) return busy();
    this.#checking += 1;
    try {
      const found = await this.#options.operators.check(token);
      return 'identity' in found ? found.identity : this.#refuse(request, 403, found.why);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      const status = error.code === 'invalid_authorization_specification' ? 403 : 401;
      return this.#refuse(request, status, reasonOf(error));
    } finally {
      this.#checking -= 1;
    }
  }

  /** Whoever asks learns one of two sentences; the log has the reason. */
  #refuse({ method, url }: Request, status: 401 | 403, reason: string): Response {
    const error = status === 403 ? 'not an operator' : 'the token is not good';
    this.#options.log.warn({ method, path: printable(new URL(url).pathname), reason }, error);
    return refused(status, error);
  }
}

/** The answer to a method that the route does not speak of. */
function wrongMethod({ method }: Request, { openapi }: RouteOptions): Response | undefined {
  const known = Object.keys(openapi ?? {}).flatMap((name) =>
    name === 'get' ? ['GET', 'HEAD'] : [name.toUpperCase()],
  );
  if (!openapi || known.includes(method)) return undefined;
  const headers = { allow: known.join(', ') };
  return Response.json({ error: `${method} is not for this path` }, { status: 405, headers });
}

/** The answer where too many wait to be told apart from operators. */
function busy(): Response {
  const error = 'too many tokens are being checked';
  return Response.json({ error }, { status: 503, headers: { 'retry-after': '1' } });
}

function refused(status: 401 | 403, error: string): Response {
  const headers = status === 401 ? { 'www-authenticate': 'Bearer' } : {};
  return Response.json({ error }, { status, headers });
}

function lineOf({ name, problem, note }: Check): string {
  if (problem !== undefined) return `[-] ${name}: ${problem}`;
  return note === undefined ? `[+] ${name}` : `[+] ${name}: ${note}`;
}
