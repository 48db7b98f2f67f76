/** `/v1/grants`: ask for access, see what was granted, give it back. */
import { GatewayError } from '../../core/index.ts';
import type { GatewayHandle } from '../../core/index.ts';
import type { Caller, Callers } from './callers.ts';
import type { Desk, Granted } from './desk.ts';
import type { Grant } from './grants.ts';
import { ASK_DOCS, GRANT_DOCS } from './docs.ts';
import type { Policy } from './policy.ts';
import type { SessionsByGrant } from './sessions-by-grant.ts';
import { Refused } from './refused.ts';
import { askedByJson, bodyText } from './request-body.ts';

/** What the routes work on. */
export interface RouteParts {
  readonly gateway: GatewayHandle;
  readonly policy: Policy;
  readonly callers: Callers;
  readonly desk: Desk;
  readonly sessions: SessionsByGrant;
}

type Handler = (request: Request) => Promise<Response>;

/** A key of this form is taken as it stands, quotes or none. */
const IDEMPOTENCY_KEY = /^[\x20-\x7e]{1,255}$/;
/** No cache on the way may keep a token (RFC 6749 §5.1). */
const NO_STORE = { 'cache-control': 'no-store' };

/** Refusals as answers. */
function answering(work: Handler): Handler {
  return async (request) => {
    try {
      return await work(request);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      return Response.json({ error: error.message }, { status: error.status, headers: error.headers });
    }
  };
}

function idempotencyKeyOf({ headers }: Request): string | undefined {
  const key = headers.get('idempotency-key');
  if (key === null) return undefined;
  if (IDEMPOTENCY_KEY.test(key)) return key;
  throw new Refused('request', 'Idempotency-Key is not a text of 1 to 255 characters');
}

/** How many sessions each grant has open, by its id: counted once for all that are shown. */
type Open = ReadonlyMap<string, number>;

function openSessions({ sessions, policy }: RouteParts): Promise<Open> {
  return sessions.of(policy.issuer.issuer);
}

function grantView(
  { id, caller, database, role, reason, issuedAt, expiresAt, revokedAt }: Grant,
  open: Open,
): object {
  return {
    id,
    caller: { issuer: caller.issuer, subject: caller.subject },
    database,
    role,
    ...(reason !== undefined && { reason }),
    issuedAt: new Date(issuedAt),
    expiresAt: new Date(expiresAt),
    ...(revokedAt !== undefined && { revokedAt: new Date(revokedAt) }),
    sessions: open.get(id) ?? 0,
  };
}

function created({ grant, token, rules, uri, psql }: Granted): Response {
  const { id, database, role, reason } = grant;
  const view = {
    id,
    database,
    role,
    ...(reason !== undefined && { reason }),
    issuedAt: new Date(grant.issuedAt),
    expiresAt: new Date(grant.expiresAt),
    rules,
    token,
    uri,
    psql,
  };
  const headers = { ...NO_STORE, location: `/v1/grants/${id}` };
  return Response.json(view, { status: 201, headers });
}

/** Who asks, and whose grants are shown to them. */
interface Visitor {
  readonly by: Pick<Caller, 'issuer' | 'subject'>;
  /** Undefined: everybody's. */
  readonly own: Caller | undefined;
}

/** Operators see all grants, others their own; an operator need not be a caller. */
async function visitorOf(request: Request, { callers }: RouteParts): Promise<Visitor> {
  const credential = callers.credentialIn(request);
  const operator = await callers.operator(credential);
  if (operator) return { by: operator, own: undefined };
  const caller = await callers.recognize(credential);
  return { by: caller, own: caller };
}

function grantOf(request: Request, { own }: Visitor, { desk }: RouteParts): Grant {
  const id = new URL(request.url).pathname.split('/')[3] ?? '';
  const grant = desk.grants.find(id, own);
  if (!grant) throw new Refused('missing', 'there is no such grant');
  return grant;
}

/** Whoever is told otherwise takes a token for dead that is not. */
function notRevoked({ message }: GatewayError, { id }: Grant, { gateway }: RouteParts): Refused {
  gateway.log.error({ id, reason: message }, 'access not revoked');
  return new Refused('busy', `not revoked: ${message}`);
}

async function revoke(request: Request, parts: RouteParts): Promise<Response> {
  const visitor = await visitorOf(request, parts);
  const grant = grantOf(request, visitor, parts);
  try {
    const ended = await parts.desk.revoke(grant, visitor.by);
    const revoked = parts.desk.grants.find(grant.id) ?? grant;
    return Response.json({ ...grantView(revoked, await openSessions(parts)), ended });
  } catch (error) {
    if (error instanceof GatewayError) throw notRevoked(error, grant, parts);
    const reason = error instanceof Error ? error.message : 'the store failed';
    parts.gateway.log.error({ id: grant.id, reason }, 'revocation not kept');
    throw new Refused('busy', 'in force on this gateway, but not kept for its next start: try again');
  }
}

/** Mounts them. */
export function mountGrantRoutes(parts: RouteParts): void {
  const { gateway, callers, desk } = parts;
  const ask = async (request: Request): Promise<Response> => {
    const caller = await callers.recognize(callers.credentialIn(request));
    const key = idempotencyKeyOf(request);
    return created(await desk.ask(caller, askedByJson(await bodyText(request)), key));
  };
  const list = async (request: Request): Promise<Response> => {
    const { own } = await visitorOf(request, parts);
    const open = await openSessions(parts);
    return Response.json({ grants: desk.grants.list(own).map((grant) => grantView(grant, open)) });
  };
  const one = async (request: Request): Promise<Response> => {
    const visitor = await visitorOf(request, parts);
    return Response.json(grantView(grantOf(request, visitor, parts), await openSessions(parts)));
  };
  const grants = (request: Request): Promise<Response> =>
    request.method === 'POST' ? ask(request) : list(request);
  const grant = (request: Request): Promise<Response> =>
    request.method === 'DELETE' ? revoke(request, parts) : one(request);
  gateway.route('/v1/grants', answering(grants), { public: true, openapi: ASK_DOCS });
  gateway.route('/v1/grants/:id', answering(grant), { public: true, openapi: GRANT_DOCS });
}
