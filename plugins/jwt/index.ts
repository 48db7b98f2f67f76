/** Tokens as passwords: verifies a JWT (RFC 7519) before PostgreSQL sees a byte and states who it is for. */
import { GatewayError } from '../../core/index.ts';
import type {
  Disposer,
  GatewayHandle,
  Identity,
  LoginSession,
  Plugin,
  TokenVerifier,
} from '../../core/index.ts';
import { openIssuers } from './issuers.ts';
import type { JwtOptions } from './options.ts';
import { parsePolicy } from './policy.ts';
import { KeysUnavailable, TokenRefused } from './refusal.ts';
import type { Verified } from './remembered.ts';
import { tokenVerifier } from './verify.ts';
import type { Verify } from './verify.ts';

export type { Algorithm, IssuerOptions, JwtOptions, KeysFrom, KeySetDocument } from './options.ts';

/** One text for whatever was wrong, PostgreSQL's own: clients learn nothing by trying. */
const UNIFORM = 'password authentication failed';

function refusal(error: unknown, message: string): unknown {
  if (error instanceof KeysUnavailable) {
    const hint = 'Try again in a moment.';
    return new GatewayError('cannot_connect_now', 'tokens cannot be verified at the moment', {
      hint,
      cause: error,
    });
  }
  return error instanceof TokenRefused
    ? new GatewayError('invalid_password', message, { cause: error })
    : error;
}

type Own = 'identity' | 'rules';

async function verifyFor(
  session: LoginSession<never, Own>,
  verify: Verify,
  token: string,
): Promise<Verified> {
  try {
    return await verify(token, session.client.tls?.certificateSha256);
  } catch (error) {
    if (error instanceof TokenRefused || error instanceof KeysUnavailable) {
      const message = error instanceof TokenRefused ? 'token refused' : 'token not verifiable';
      session.log.warn({ reason: error.message, ...error.labels }, message);
    }
    throw refusal(error, `${UNIFORM} for user "${session.startup.user}"`);
  }
}

function endWithToken(session: LoginSession<never, Own>, identity: Identity): void {
  const hint = 'Connect again with a fresh token as the password.';
  session.endAt(identity.expiresAt, new GatewayError('admin_shutdown', 'the token has expired', { hint }));
}

function lent(verify: Verify): TokenVerifier {
  return {
    async verify(token) {
      try {
        const { identity, rules } = await verify(token);
        if (Object.keys(rules).length === 0) return identity;
        throw new TokenRefused('carries rules, which only sessions keep');
      } catch (error) {
        throw refusal(error, UNIFORM);
      }
    },
  };
}

/**
 * Verifies tokens and provides `identity` and `rules`, and the service `verifier` unless another `jwt` above does.
 * @throws ConfigError that names the option, such as `jwt.issuers[0].jwks`
 * @example jwt({ issuers: [{ issuer: 'https://id.example', audience: 'postern', jwks: 'https://id.example/jwks.json' }] })
 */
export function jwt(options: JwtOptions): Plugin<never, Own, 'jwt'> {
  const policy = parsePolicy(options);
  let verify: Verify = () => Promise.reject(new Error('jwt: setup has not run'));
  return {
    name: 'jwt',
    provides: ['identity', 'rules'],
    async setup(gateway: GatewayHandle): Promise<Disposer> {
      const { issuers, close } = await openIssuers(policy, gateway);
      verify = tokenVerifier(policy, issuers);
      // Of several, each for its own listeners, the first one vouches for operators.
      if (!gateway.service('verifier')) gateway.provide('verifier', lent(verify));
      return close;
    },
    async onAuth(session) {
      const { identity, rules } = await verifyFor(session, verify, await session.token());
      session.establish('identity', identity);
      session.establish('rules', rules);
      endWithToken(session, identity);
    },
  };
}
