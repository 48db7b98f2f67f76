/** Access on demand: callers ask for a database as a role for a time, and get a short-lived token of the gateway's own. */
import { randomUUID } from 'node:crypto';
import { ConfigError } from '../../core/index.ts';
import type { GatewayHandle, Plugin } from '../../core/index.ts';
import { Callers } from './callers.ts';
import { Desk } from './desk.ts';
import { JWKS_DOCS } from './docs.ts';
import { mountExchangeRoute } from './exchange-route.ts';
import { mountGrantRoutes } from './grant-routes.ts';
import type { AccessOptions } from './options.ts';
import type { OwnIssuer } from './own-issuer.ts';
import { policyOf } from './policy.ts';
import type { Policy } from './policy.ts';

export type {
  AccessOptions,
  ApiKeyOptions,
  CallersOptions,
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

/** The verifier takes no token with rules: one that it takes has rules that nobody would keep. @throws ConfigError */
async function refuseUnread(gateway: GatewayHandle, { issuer, rulesClaim }: Policy): Promise<void> {
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
 * Serves on `admin`: `/v1/grants` (ask, see, revoke), `/oauth/token` (RFC 8693) and `/.well-known/jwks.json`. Stands below
 * `jwt`, which knows its issuer; `limits` and `ip-filter` enforce the rules it puts into tokens.
 * @throws ConfigError that names the option, such as `access.policy[0].roles`
 * @example access({ issuer: own, callers: { issuers: ['https://id.example'] }, policy: [{ … }], connect: { host: 'db.example' } })
 */
export function access(options: AccessOptions): Plugin<never, never, 'access'> {
  const policy = policyOf(options);
  let open: Desk | undefined;
  return {
    name: 'access',
    on: { revocation: (event) => open?.revoked(event) },
    async setup(gateway) {
      if (!gateway.service('verifier') || !gateway.service('revocations')) {
        throw new ConfigError('access: list it below the plugin that verifies and revokes tokens, jwt');
      }
      const desk = new Desk(policy, gateway);
      const parts = { gateway, policy, callers: new Callers(policy, gateway), desk };
      open = desk;
      mountGrantRoutes(parts);
      mountExchangeRoute(parts);
      mountKeys(gateway, policy.issuer);
      const close = await policy.issuer.open(gateway);
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
