/** Builds tokens that are wrong in one way and right in all others. */
import type { TokenIssuer } from './token.ts';
import { forge, now } from './token.ts';

/** Claims or header parameters. */
export type Members = Readonly<Record<string, unknown>>;
/** A row of a table of bad tokens. */
export type Row = readonly [name: string, token: string, why: string];

/** What the tables below build with: everything is signed truly unless a row says otherwise. */
export interface Forger {
  readonly good: TokenIssuer;
  readonly header: Members;
  readonly claims: Members;
  /** Signed by the issuer's own ES256 key, whatever stands in the parts. */
  signed(header: unknown, payload: unknown): string;
}

/** Makes the builder of forged tokens for an issuer that has ES256, RS256 and PS256 keys. */
export function forger(good: TokenIssuer): Forger {
  const key = good.privateKey('ES256');
  return {
    good,
    header: { alg: 'ES256', kid: good.kid('ES256'), typ: 'JWT' },
    claims: {
      iss: good.issuer,
      aud: good.audience,
      sub: 'alice',
      role: 'reader',
      iat: now(),
      exp: now() + 300,
    },
    signed: (header, payload) => forge(header, payload, 'ES256', key),
  };
}
