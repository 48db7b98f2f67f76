/** Numbers in claims that are not what the token says any more: two tenants' 64-bit ids would be one in SQL. */
import { GatewayError } from '../../core/index.ts';

/** JSON.parse rounds integers from 2^53, and takes too large ones for Infinity (RFC 8259 §6). */
function isRounded(value: unknown): boolean {
  if (typeof value === 'number') return Number.isFinite(value) ? Math.abs(value) >= 2 ** 53 : true;
  return typeof value === 'object' && value !== null && Object.values(value).some(isRounded);
}

/** Refuses claims that policies could not rely on. @throws GatewayError; its cause names the claim */
export function refuseRounded(claims: object): void {
  const wrong = Object.entries(claims).find(([, value]) => isRounded(value));
  if (!wrong) return;
  throw new GatewayError(
    'invalid_authorization_specification',
    'the token has a number that cannot be passed on exactly',
    {
      hint: 'Integers from 2^53 have to be texts in the token.',
      cause: new Error(`claim ${wrong[0]} is a number of 2^53 or more`),
    },
  );
}
