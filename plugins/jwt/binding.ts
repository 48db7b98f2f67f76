/** Tokens bound to a client certificate (RFC 8705 §3.1) are good on connections with that certificate and no others. */
import { timingSafeEqual } from 'node:crypto';
import { shown } from '../../core/index.ts';
import { TokenRefused } from './refusal.ts';

/** Bytes of a SHA-256. */
const DIGEST_BYTES = 32;

/**
 * Checks the `cnf` claim (RFC 7800 §3.1) against the connection. Any confirmation that cannot be checked here refuses.
 * @param certificateSha256 hex of the verified client certificate's SHA-256; undefined without one
 * @throws TokenRefused
 */
export function checkBinding(cnf: unknown, certificateSha256: string | undefined): void {
  if (cnf === undefined) return;
  const members = typeof cnf === 'object' && cnf !== null ? Object.entries(cnf) : [];
  const [[method, value] = []] = members as [string, unknown][];
  if (members.length !== 1 || method !== 'x5t#S256' || typeof value !== 'string') {
    throw new TokenRefused(`cnf is ${shown(cnf)}: only x5t#S256 alone can be checked`);
  }
  if (certificateSha256 === undefined)
    throw new TokenRefused(`bound to the client certificate ${shown(value)}, and there is none`);
  const wanted = Buffer.from(value, 'base64url');
  const have = Buffer.from(certificateSha256, 'hex');
  const comparable = wanted.length === DIGEST_BYTES && have.length === DIGEST_BYTES;
  if (!comparable || !timingSafeEqual(wanted, have)) {
    const there = have.toString('base64url');
    throw new TokenRefused(`bound to the client certificate ${shown(value)}, and this is ${shown(there)}`);
  }
}
