/** Why a token is not accepted: for the operator only, since a client gets one uniform text whatever was wrong. */

import { printable } from '../../core/index.ts';

/** One text for whatever was wrong at a login, PostgreSQL's own: clients learn nothing by trying. */
export const UNIFORM = 'password authentication failed';

/** What a token says about itself, unverified and shortened: enough to find it, never the token. */
export interface TokenLabels {
  readonly kid?: string;
  readonly iss?: string;
  readonly sub?: string;
}

/** The token is not good. `message` is a short reason that holds nothing secret. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';
  readonly labels: TokenLabels;

  constructor(reason: string, labels: TokenLabels = {}) {
    super(reason);
    this.labels = labels;
  }
}

/** The token may be good, but no key to check it with is at hand: the issuer cannot be reached. */
export class KeysUnavailable extends Error {
  override readonly name = 'KeysUnavailable';
  readonly labels: TokenLabels;

  constructor(reason: string, labels: TokenLabels = {}) {
    super(reason);
    this.labels = labels;
  }
}

/** Longest label, in characters: a hostile `sub` must not fill the log. */
const LONGEST_LABEL = 256;

function label(name: keyof TokenLabels, value: unknown): TokenLabels {
  return typeof value === 'string' ? { [name]: printable(value, LONGEST_LABEL) } : {};
}

/** Picks the labels out of an unverified header (RFC 7515 §4.1.4) and claims (RFC 7519 §4.1). */
export function labelsOf(
  header: Readonly<Record<string, unknown>>,
  claims: Readonly<Record<string, unknown>>,
): TokenLabels {
  return { ...label('kid', header['kid']), ...label('iss', claims['iss']), ...label('sub', claims['sub']) };
}
