/** What happens when a session's token expires: a notice before, then an end, at once or with its transaction. */
import { GatewayError, badOption, readChoice, readDuration, readText } from '../../core/index.ts';
import type { EndAtOptions } from '../../core/index.ts';
import type { JwtOptions } from './options.ts';

/** The options about it, checked. */
export interface ExpiryPolicy {
  /** What the client reads at its token's end, and in the notice before. */
  readonly expired: GatewayError;
  /** The same where a session has had the time that its issuer's sessions get. */
  readonly overlong: GatewayError;
  readonly how: EndAtOptions;
}

/** Longest grace, in milliseconds: a token is not good for as long as somebody keeps a transaction open. */
const LONGEST_GRACE_MS = 3_600_000;

const PRESENT =
  "Connect again with a fresh token as the password; before it expires, SET postern.token = '…' presents one.";
const GO_ON =
  "Connect again with a fresh token as the password; before the end, SET postern.token = '…' presents one.";

/** Reads `onExpiry`, `grace`, `notice` and `hint`. @throws ConfigError */
export function parseExpiry(options: JwtOptions): ExpiryPolicy {
  const { grace, notice = '60s', hint } = options;
  const onExpiry = readChoice('jwt.onExpiry', options.onExpiry ?? 'end', ['end', 'finish-transaction']);
  if (onExpiry === 'end' && grace !== undefined)
    badOption('jwt.grace', "goes with onExpiry: 'finish-transaction'");
  const graceMs = readDuration('jwt.grace', grace ?? '30s', { leastMs: 0, mostMs: LONGEST_GRACE_MS });
  const noticeMs = readDuration('jwt.notice', notice, { leastMs: 0 });
  const own = hint === undefined ? '' : `${readText('jwt.hint', hint)} `;
  const end = (message: string, how: string): GatewayError =>
    new GatewayError('admin_shutdown', message, { hint: own + how });
  return {
    expired: end('the token has expired', PRESENT),
    overlong: end('the session has lasted as long as its token allows', GO_ON),
    how: { ...(onExpiry === 'end' ? {} : { graceMs }), ...(noticeMs > 0 ? { noticeMs } : {}) },
  };
}
