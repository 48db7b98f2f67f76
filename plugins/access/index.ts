/** Access on demand: callers ask for a database as a role for a time, and get a short-lived token of the gateway's own. */
import { randomUUID } from 'node:crypto';
import { ConfigError } from '../../core/index.ts';
import type { GatewayHandle, Plugin } from '../../core/index.ts';
import { Callers } from './callers.ts';
import { Desk } from './desk.ts';
import type { DeskState } from './desk.ts';
import { JWKS_DOCS } from './docs.ts';
import { mountExchangeRoute } from './exchange-route.ts';
import { mountGrantRoutes } from './grant-routes.ts';
import { Grants } from './grants.ts';
import type { Grant } from './grants.ts';
import { Idempotency } from './idempotency.ts';
import type { OnceDone } from './idempotency.ts';
import type { AccessOptions } from './options.ts';
import type { OwnIssuer } from './own-issuer.ts';
import { policyOf } from './policy.ts';
import type { Policy } from './policy.ts';
import { RequestRate } from './rate.ts';
import type { Asked } from './rate.ts';
import { SessionsByGrant } from './sessions-by-grant.ts';

export type {
  AccessOptions,
  ApiKeyOptions,
  ApiKeyWho,
  CallersOptions,
  ClaimWho,
  ConnectOptions,
  GrantRulesOptions,
  PolicyOptions,
  Who,
} from './options.ts';
export { ownIssuer } from './own-issuer.ts';
export type { OwnIssuer, OwnIssuerOptions } from './own-issuer.ts';

function mountKeys(gateway: GatewayHandle, issuer: OwnIssuer): void {
  const headers = { 'content-type': 'application/jwk-set+json', 'cache-control': 'public, max-age=60' };
  const handler = (): Response => new Response(JSON.stringify(issuer.published()), { headers });
  gateway.route('/.well-known/jwks.json', handler, { public: true, openapi: JWKS_DOCS });
}

async function deskState({ rate }: Policy, gateway: GatewayHandle): Promise<DeskState> {
  const [grants, done, asked] = await Promise.all([
    gateway.board<Grant>('grants', { of: 'fleet' }),
    gateway.board<OnceDone>('idempotency', { of: 'fleet' }),
    gateway.board<Asked>(`rate ${JSON.stringify(rate)}`),
  ]);
  return {
    grants: gateway.keep('grants', () => new Grants(grants)),
    idempotency: gateway.keep('idempotency', () => new Idempotency(done)),
    rate: gateway.keep(`rate ${JSON.stringify(rate)}`, () => new RequestRate(rate, asked)),
  };
}

/** The verifier takes no token with rules: one that it takes has rules that nobody would keep. @throws ConfigError */
async function refuseUnread(gateway: GatewayHandle, { issuer, rulesClaim }: Policy): Promise<void> {
  if (!issuer.canSign) return;
  const now = Math.floor(Date.now() / 1_000);
  const claims = { sub: 'trial', jti: randomUUID(), [rulesClaim]: { databases: ['none'] } };
  const lifeMs = Math.min(60_000, issuer.maxLifetimeMs);
  const trial = await issuer.sign(claims, now, now + Math.floor(lifeMs / 1_000));
  const taken = await gateway
    .service('verifier')
    ?.verify(trial)
    .catch(() => undefined);
  if (!taken) return;
  throw new ConfigError(
    `access.rulesClaim: jwt reads no rules from '${rulesClaim}': give it the same rulesClaim`,
  );
}

/**
 * Access on demand: a caller whom the policy allows asks on `admin` for a database as a role for a time, and gets a short-lived token of the
 * gateway's own issuer.
 *
 * @place 12 below `jwt`, which verifies the callers' tokens and those of its issuer
 * @throws ConfigError that names the option, such as `access.policy[0].roles`
 * @example access({ issuer: own, callers: { issuers: ['https://id.example'] }, policy: [{ … }], connect: { host: 'db.example' } })
 */
export function access(options: AccessOptions): Plugin<never, never, 'access'> {
  const policy = policyOf(options);
  let open: Desk | undefined;
  return {
    name: 'access',
    options,
    on: { revocation: (event) => open?.revoked(event) },
    async setup(gateway) {
      if (!gateway.service('verifier') || !gateway.service('revocations')) {
        throw new ConfigError('access: list it below the plugin that verifies and revokes tokens, jwt');
      }
      const desk = new Desk(policy, gateway, await deskState(policy, gateway));
      const sessions = gateway.keep('sessions by grant', () => new SessionsByGrant(gateway));
      const parts = { gateway, policy, callers: new Callers(policy, gateway), desk, sessions };
      open = desk;
      mountGrantRoutes(parts);
      mountExchangeRoute(parts);
      mountKeys(gateway, policy.issuer);
      const closeIssuer = await policy.issuer.open(gateway);
      const closeSessions = sessions.open();
      const close = async (): Promise<void> => {
        closeSessions();
        await closeIssuer();
      };
      try {
        await refuseUnread(gateway, policy);
      } catch (error) {
        await close();
        throw error;
      }
      return close;
    },
  };
}
