/** What happens when a session's token expires: a notice before, then an end, at once or with its transaction. */
import { GatewayError } from '../../core/index.ts';
import type { EndAtOptions } from '../../core/index.ts';
import { bad, duration, text } from './option-readers.ts';
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
export function parseExpiry({ onExpiry = 'end', grace, notice, hint }: JwtOptions): ExpiryPolicy {
  if (onExpiry !== 'end' && onExpiry !== 'finish-transaction') {
    bad('jwt.onExpiry', "'end' or 'finish-transaction' is needed");
  }
  if (onExpiry === 'end' && grace !== undefined) bad('jwt.grace', "goes with onExpiry: 'finish-transaction'");
  const graceMs = duration('jwt.grace', grace, '30s', LONGEST_GRACE_MS);
  const noticeMs = duration('jwt.notice', notice, '60s');
  const own = hint === undefined ? '' : `${text('jwt.hint', hint)} `;
  const end = (message: string, how: string): GatewayError =>
    new GatewayError('admin_shutdown', message, { hint: own + how });
  return {
    expired: end('the token has expired', PRESENT),
    overlong: end('the session has lasted as long as its token allows', GO_ON),
    how: { ...(onExpiry === 'end' ? {} : { graceMs }), ...(noticeMs > 0 ? { noticeMs } : {}) },
  };
}
