/** What operators do over HTTP: see, add and take back revocations, and drop an issuer's keys. */
import { GatewayError } from '../../core/index.ts';
import type { GatewayHandle, Identity } from '../../core/index.ts';
import type { KeyStore } from './key-store.ts';
import { PURGE, REVOCATIONS } from './operator-docs.ts';
import { ListFull } from './revocation-list.ts';
import type { Revoker } from './revoker.ts';

/** What the routes work on. */
export interface OperatorRoutesOptions {
  readonly gateway: GatewayHandle;
  readonly revoker: Revoker;
  readonly storesOf: (issuer: string) => readonly KeyStore[];
}

/** Longest body, in characters. */
const MAX_BODY = 16_384;

const no = (status: number, error: string): Response => Response.json({ error }, { status });

async function bodyOf(request: Request): Promise<unknown> {
  let text = '';
  const decoder = new TextDecoder();
  for await (const chunk of request.body ?? []) {
    text += decoder.decode(chunk as Uint8Array, { stream: true });
    if (text.length > MAX_BODY) throw new GatewayError('invalid_parameter_value', 'the body is too long');
  }
  try {
    return JSON.parse(text);
  } catch {
    throw new GatewayError('invalid_parameter_value', 'the body is not JSON');
  }
}

/** Who does it, for the log. */
const named = (caller: Identity | undefined): object => ({
  issuer: caller?.issuer,
  subject: caller?.subject,
});

type Handler = (request: Request, caller?: Identity) => Promise<Response>;

/** Refusals become answers. Other methods than those of the document do not come here. */
function methods(handlers: Readonly<Record<string, Handler>>): Handler {
  return async (request, caller) => {
    const handler = handlers[request.method === 'HEAD' ? 'GET' : request.method];
    if (!handler) throw new Error('a method without a handler');
    try {
      return await handler(request, caller);
    } catch (error) {
      if (error instanceof GatewayError) return no(400, error.message);
      if (error instanceof ListFull) return no(507, error.message);
      throw error;
    }
  };
}

function revocations({ gateway, revoker }: OperatorRoutesOptions): Handler {
  return methods({
    GET: () => Promise.resolve(Response.json({ revocations: revoker.all })),
    async POST(request, caller) {
      const { revocation, ended, kept } = await revoker.add(await bodyOf(request), caller);
      gateway.log.info(
        { by: named(caller), what: revocation.what, id: revocation.id, sessions: ended },
        'tokens revoked',
      );
      try {
        await kept;
      } catch (error) {
        const reason = error instanceof Error ? error.message : 'the store failed';
        gateway.log.error({ id: revocation.id, reason }, 'revocation not kept');
        return no(
          503,
          'in force on this gateway, but not kept for its next start: the log says why; try again',
        );
      }
      return Response.json({ ...revocation, sessions: ended }, { status: 201 });
    },
    async DELETE(request, caller) {
      const id = new URL(request.url).searchParams.get('id') ?? '';
      if (!(await revoker.remove(id, caller))) return no(404, 'there is no revocation with this id');
      gateway.log.info({ by: named(caller), id }, 'revocation taken back');
      return new Response(null, { status: 204 });
    },
  });
}

function purge({ gateway, storesOf }: OperatorRoutesOptions): Handler {
  return methods({
    async POST(request, caller) {
      const { issuer } = ((await bodyOf(request)) ?? {}) as { readonly issuer?: unknown };
      const stores = typeof issuer === 'string' ? storesOf(issuer) : [];
      if (stores.length === 0) return no(404, 'issuer is not a configured one');
      gateway.log.info({ by: named(caller), issuer }, 'keys dropped');
      const by = caller && { issuer: caller.issuer, subject: caller.subject };
      gateway.emit('operator', { by, via: 'http', verb: 'PURGE_KEYS', target: { issuer: String(issuer) } });
      await Promise.all(stores.map((store) => store.purge()));
      const problems = stores.map((store) => store.problem()).filter((problem) => problem !== undefined);
      return problems.length === 0
        ? Response.json({ issuer })
        : no(503, 'dropped, but there are no new ones yet');
    },
  });
}

/** Mounts `/v1/revocations` and `/v1/keys/purge`, for operators only. */
export function mountOperatorRoutes(options: OperatorRoutesOptions): void {
  options.gateway.route('/v1/revocations', revocations(options), { openapi: REVOCATIONS });
  options.gateway.route('/v1/keys/purge', purge(options), { openapi: PURGE });
}
