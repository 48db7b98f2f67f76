/** OAuth 2.0 Token Exchange (RFC 8693): a token of a caller for one of ours, on the same policy. */
import type { Granted } from './desk.ts';
import { EXCHANGE_DOCS } from './docs.ts';
import type { RouteParts } from './grant-routes.ts';
import { Refused } from './refused.ts';
import type { RefusalKind } from './refused.ts';
import { askedOf, bodyText } from './request-body.ts';

/** RFC 8693 §2.1. */
const GRANT_TYPE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TYPE = 'urn:ietf:params:oauth:token-type:';
const JWT = `${TYPE}jwt`;
/** What a caller may show: a token of these kinds is a JWT here, or it is not good. */
const SUBJECT_TYPES: readonly string[] = [JWT, `${TYPE}access_token`, `${TYPE}id_token`];

/** The words of RFC 8693 §2.2.2 and RFC 6749 §5.2. */
const CODES: Readonly<Record<RefusalKind, string>> = {
  request: 'invalid_request',
  caller: 'invalid_request',
  outside: 'invalid_target',
  missing: 'invalid_request',
  conflict: 'invalid_request',
  rate: 'temporarily_unavailable',
  busy: 'temporarily_unavailable',
};

/** An error of the token endpoint with a word of its own. */
class ExchangeError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

function failure(status: number, error: string, description: string, headers = {}): Response {
  const body = { error, error_description: description };
  return Response.json(body, { status, headers: { 'cache-control': 'no-store', ...headers } });
}

/** No parameter may come twice (RFC 6749 §3.2); `audience` may, and we serve one database at a time. */
function parametersOf(text: string): ReadonlyMap<string, string> {
  const form = new URLSearchParams(text);
  for (const name of form.keys()) {
    if (form.getAll(name).length === 1) continue;
    const code = name === 'audience' ? 'invalid_target' : 'invalid_request';
    throw new ExchangeError(code, `${name} may come once`);
  }
  return new Map([...form].filter(([, value]) => value !== ''));
}

function check(given: ReadonlyMap<string, string>): { readonly token: string } {
  const grantType = given.get('grant_type');
  if (grantType !== GRANT_TYPE) {
    const code = grantType === undefined ? 'invalid_request' : 'unsupported_grant_type';
    throw new ExchangeError(code, `grant_type is not ${GRANT_TYPE}`);
  }
  const token = given.get('subject_token');
  if (token === undefined) throw new ExchangeError('invalid_request', 'subject_token is missing');
  if (!SUBJECT_TYPES.includes(given.get('subject_token_type') ?? ''))
    throw new ExchangeError('invalid_request', 'subject_token_type is not that of a JWT');
  if (given.has('actor_token'))
    throw new ExchangeError('invalid_request', 'there is nothing for actors: leave actor_token out');
  if (![undefined, JWT].includes(given.get('requested_token_type')))
    throw new ExchangeError('invalid_request', `requested_token_type is not ${JWT}`);
  if (given.has('resource') || !given.has('audience'))
    throw new ExchangeError('invalid_target', 'audience has to be the name of a database');
  return { token };
}

function granted({ grant, token }: Granted): Response {
  const body = {
    access_token: token,
    issued_token_type: JWT,
    // It is a password for PostgreSQL, no access token for HTTP (§2.2.1).
    token_type: 'N_A',
    expires_in: Math.floor((grant.expiresAt - Date.now()) / 1_000),
    scope: grant.role,
  };
  return Response.json(body, { headers: { 'cache-control': 'no-store' } });
}

async function exchange(request: Request, { callers, desk }: RouteParts): Promise<Response> {
  const type = request.headers.get('content-type') ?? '';
  if (!/^application\/x-www-form-urlencoded\s*(;|$)/i.test(type))
    throw new ExchangeError('invalid_request', 'a form is needed (application/x-www-form-urlencoded)');
  const given = parametersOf(await bodyText(request));
  const { token } = check(given);
  const caller = await callers.recognizeToken(token);
  const [database, role] = [given.get('audience'), given.get('scope')];
  const [duration, reason] = [given.get('duration'), given.get('reason')];
  return granted(await desk.ask(caller, askedOf({ database, role, duration, reason })));
}

/** Mounts `/oauth/token`. */
export function mountExchangeRoute(parts: RouteParts): void {
  const handler = async (request: Request): Promise<Response> => {
    try {
      return await exchange(request, parts);
    } catch (error) {
      if (error instanceof ExchangeError) return failure(400, error.code, error.message);
      if (!(error instanceof Refused)) throw error;
      const { kind, message, headers } = error;
      const status = ['rate', 'busy'].includes(kind) ? error.status : 400;
      const description = kind === 'caller' ? 'subject_token is not good' : message;
      return failure(status, CODES[kind], description, status === 400 ? {} : headers);
    }
  };
  parts.gateway.route('/oauth/token', handler, { public: true, openapi: EXCHANGE_DOCS });
}
