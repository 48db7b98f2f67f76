/** Tokens as passwords: verifies a JWT (RFC 7519) before PostgreSQL sees a byte and states who it is for. */
import { GatewayError } from '../../core/index.ts';
import type { Disposer, GatewayHandle, Plugin, Session, TokenVerifier } from '../../core/index.ts';
import { hints } from './hints.ts';
import { lookAtIssuer } from './announcement.ts';
import { openIssuers } from './issuers.ts';
import { mountOperatorRoutes } from './operator-routes.ts';
import type { JwtOptions } from './options.ts';
import { parsePolicy } from './policy.ts';
import { probeIssuers } from './probe.ts';
import { KeysUnavailable, TokenRefused, UNIFORM } from './refusal.ts';
import type { Verified } from './remembered.ts';
import { renewalChecks, SessionLives, UNCHANGED } from './renewal.ts';
import { purgedKeys } from './purged-keys.ts';
import { openRevoker } from './revoker.ts';
import type { Revoker } from './revoker.ts';
import { staleFleet } from './stale-fleet.ts';
import type { StaleFleet } from './stale-fleet.ts';
import { tokenVerifier } from './verify.ts';
import type { Verify } from './verify.ts';

export type {
  Algorithm,
  ClaimValue,
  IssuerOptions,
  JwtOptions,
  KeysFrom,
  KeySetDocument,
  OAuthOptions,
  RequiredValues,
  RevocationsOptions,
} from './options.ts';
export type { Revocation } from './revocation.ts';
export type { RevocationChange, RevocationStore } from './revocation-store.ts';

function refusal(error: unknown, message: string, hint?: string): unknown {
  if (error instanceof KeysUnavailable) {
    return new GatewayError('cannot_connect_now', 'tokens cannot be verified at the moment', {
      hint: hint ?? 'Try again in a moment.',
      cause: error,
    });
  }
  const more = hint === undefined ? { cause: error } : { hint, cause: error };
  return error instanceof TokenRefused ? new GatewayError('invalid_password', message, more) : error;
}

type Own = 'identity' | 'rules';

/** @throws TokenRefused and KeysUnavailable, which the operator has been told of */
async function verifyFor(session: Session, verify: Verify, token: string): Promise<Verified> {
  try {
    return await verify(token, session.client.tls?.certificateSha256);
  } catch (error) {
    if (error instanceof TokenRefused || error instanceof KeysUnavailable) {
      const message = error instanceof TokenRefused ? 'token refused' : 'token not verifiable';
      session.log.warn({ reason: error.message, ...error.labels }, message);
    }
    throw error;
  }
}

/** @throws GatewayError for a token that is not good, or cannot be verified */
async function verifyFresh(session: Session, verify: Verify, token: string): Promise<Verified> {
  try {
    return await verifyFor(session, verify, token);
  } catch (error) {
    throw refusal(error, 'the token is not good', UNCHANGED);
  }
}

function lent(verify: Verify): TokenVerifier {
  return {
    async verify(token) {
      try {
        const { identity, rules } = await verify(token);
        const names = Object.keys(rules);
        if (names.length === 0) return identity;
        throw new TokenRefused(`carries rules, which only sessions keep: ${names.join(', ')}`);
      } catch (error) {
        throw refusal(error, UNIFORM);
      }
    },
  };
}

/** What a setup has made. */
interface Running {
  readonly verify: Verify;
  readonly revoker: Revoker;
  /** Undefined without a fleet. */
  readonly stale: StaleFleet | undefined;
}

async function setUp(
  policy: ReturnType<typeof parsePolicy>,
  gateway: GatewayHandle,
): Promise<Running & { readonly close: Disposer }> {
  const { revoker, first, close: closeRevoker } = await openRevoker(policy, gateway);
  try {
    const purged = await purgedKeys(gateway);
    const { issuers, readings, close: closeIssuers } = await openIssuers(policy, gateway, purged);
    const verify = tokenVerifier(policy, issuers, (identity) => revoker.find(identity));
    if (first) mountOperatorRoutes({ gateway, revoker, purged });
    if (!gateway.service('keySets')) gateway.provide('keySets', { readings });
    gateway.alone('ask for dropped keys', () => purged.lead());
    const stale = staleFleet(gateway);
    const closeStale = stale?.open();
    if (first) gateway.ready(() => stale?.problem);
    const close = async (): Promise<void> => {
      closeStale?.();
      await closeIssuers();
      await closeRevoker();
    };
    return { verify, revoker, stale, close };
  } catch (error) {
    await closeRevoker();
    throw error;
  }
}

/**
 * Verifies the token given as password or by OAUTHBEARER. The session ends when the token does, unless the client presents a fresh one.
 *
 * @place 5 above the plugins that need `identity`
 * @throws ConfigError that names the option, such as `jwt.issuers[0].jwks`
 * @example jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'https://id.example/jwks.json' }] })
 */
export function jwt(options: JwtOptions): Plugin<never, Own, 'jwt', 'password' | 'oauthbearer'> {
  const policy = parsePolicy(options);
  const lives = new SessionLives(policy);
  let state: Running | undefined;
  const running = (): Running => {
    if (!state) throw new Error('jwt: setup has not run');
    return state;
  };
  return {
    name: 'jwt',
    options,
    credentials: hints.credentials,
    provides: hints.provides,
    ...(policy.announced && { announces: policy.announced.announcement }),
    checks: renewalChecks(() => running().revoker),
    inBand: {
      async 'postern.token'(session, token) {
        const { verify, revoker, stale } = running();
        await lives.renew(session, async () => {
          const verified = await verifyFresh(session, verify, token);
          stale?.admit(session, UNCHANGED);
          return verified;
        });
        // Other plugins' checks take their time.
        revoker.endIfRevoked(session);
        session.log.info({ until: session.facts.identity.expiresAt }, 'token renewed');
      },
    },
    async setup(gateway: GatewayHandle): Promise<Disposer> {
      const { close, ...made } = await setUp(policy, gateway);
      state = made;
      const { announced } = policy;
      if (announced) gateway.alone('look at the issuer', () => lookAtIssuer(announced, gateway));
      // Of several, each for its own listeners, the first one vouches for operators.
      if (!gateway.service('verifier')) gateway.provide('verifier', lent(made.verify));
      return close;
    },
    probe: (context) => probeIssuers(policy, context),
    onClose: (session) => running().revoker.forget(session),
    async onAuth(session) {
      const token = await session.token();
      try {
        const { verify, revoker, stale } = running();
        const { identity, rules } = lives.stated(await verifyFor(session, verify, token));
        stale?.admit(session);
        session.establish('identity', identity);
        // Now, and not with the checks: a check of another plugin may take its time before.
        revoker.know(session, identity);
        session.establish('rules', rules);
        lives.begin(session, identity);
      } catch (error) {
        throw refusal(error, `${UNIFORM} for user "${session.startup.user}"`);
      }
    },
  };
}
