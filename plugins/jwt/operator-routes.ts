/** What operators do over HTTP: see, add and take back revocations, and drop an issuer's keys. */
import { GatewayError } from '../../core/index.ts';
import type { FleetProof, GatewayHandle, Identity } from '../../core/index.ts';
import { PURGE, REVOCATIONS } from './operator-docs.ts';
import type { PurgedKeys } from './purged-keys.ts';
import { ListFull } from './revocation-list.ts';
import type { Revoker } from './revoker.ts';

/** What the routes work on. */
export interface OperatorRoutesOptions {
  readonly gateway: GatewayHandle;
  readonly revoker: Revoker;
  readonly purged: PurgedKeys;
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

/** Whether the answer is to wait for the fleet: before anything is done. @throws GatewayError */
function waitsForFleet({ url }: Request, { fleet }: GatewayHandle): boolean {
  const wait = new URL(url).searchParams.get('wait');
  if (wait === null) return false;
  if (wait !== 'fleet') throw new GatewayError('invalid_parameter_value', "wait is 'fleet' or absent");
  if (!fleet) throw new GatewayError('invalid_parameter_value', 'this gateway is in no fleet');
  return true;
}

/** 202 while an instance may not have it: it is named. */
function answerOf(done: object, status: number, proof: FleetProof | undefined): Response {
  if (!proof) return Response.json(done, { status });
  return Response.json({ ...done, fleet: proof }, { status: proof.missing.length === 0 ? status : 202 });
}

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
      const waits = waitsForFleet(request, gateway);
      const body = await bodyOf(request);
      const { revocation, ended, kept, proof } = await revoker.add(body, caller, { waits });
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
      return answerOf({ ...revocation, sessions: ended }, 201, proof);
    },
    async DELETE(request, caller) {
      const id = new URL(request.url).searchParams.get('id') ?? '';
      if (!(await revoker.remove(id, caller))) return no(404, 'there is no revocation with this id');
      gateway.log.info({ by: named(caller), id }, 'revocation taken back');
      return new Response(null, { status: 204 });
    },
  });
}

function purge({ gateway, purged }: OperatorRoutesOptions): Handler {
  return methods({
    async POST(request, caller) {
      const waits = waitsForFleet(request, gateway);
      const { issuer } = ((await bodyOf(request)) ?? {}) as { readonly issuer?: unknown };
      if (typeof issuer !== 'string' || !purged.knows(issuer))
        return no(404, 'issuer is not a configured one');
      gateway.log.info({ by: named(caller), issuer }, 'keys dropped');
      const by = caller && { issuer: caller.issuer, subject: caller.subject };
      gateway.emit('operator', { by, via: 'http', verb: 'PURGE_KEYS', target: { issuer } });
      const problems = await purged.purge(issuer);
      if (problems.length > 0) return no(503, 'dropped, but there are no new ones yet');
      return answerOf({ issuer }, 200, waits ? await purged.proof() : undefined);
    },
  });
}

/** Mounts `/v1/revocations` and `/v1/keys/purge`, for operators only. */
export function mountOperatorRoutes(options: OperatorRoutesOptions): void {
  options.gateway.route('/v1/revocations', revocations(options), { openapi: REVOCATIONS });
  options.gateway.route('/v1/keys/purge', purge(options), { openapi: PURGE });
}
