/** Until when passwords are good. */
import { GatewayError } from '../../core/index.ts';
import type { Until } from './options.ts';

const DAY = /^\d{4}-\d{2}-\d{2}$/;
const MOMENT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2})?(?:Z|[+-]\d{2}:\d{2})$/;
const DAY_MS = 86_400_000;
/** The last moment that a Date and a timestamp of PostgreSQL both have: for passwords that are good for ever. */
export const FOREVER = new Date('9999-12-31T23:59:59Z');

/** The form of the option, for its error. */
export const UNTIL_FORM = "a day such as '2027-06-30', or a moment such as '2027-06-30T18:00:00Z',";

/** The first moment at which a password is not good any more. @throws GatewayError for a text that is no date */
export function parseUntil(text: Until): Date {
  const day = DAY.test(text);
  const at = new Date(day ? `${text}T00:00:00Z` : text);
  // Date makes 2 March of 30 February.
  const exists =
    !Number.isNaN(at.getTime()) &&
    new Date(`${text.slice(0, 10)}T00:00:00Z`).getUTCDate() === Number(text.slice(8, 10));
  if (!exists || (!day && !MOMENT.test(text))) {
    throw new GatewayError('invalid_parameter_value', `${UNTIL_FORM} is needed`);
  }
  return day ? new Date(at.getTime() + DAY_MS) : at;
}

/** The earlier of two ends; what has none is good for ever. */
export function endOf(...ends: readonly (Date | undefined)[]): Date {
  const times = ends.flatMap((end) => (end ? [end.getTime()] : []));
  return new Date(Math.min(FOREVER.getTime(), ...times));
}

/** The refusal of a user whose password is right and was good until then. */
export function overSince(user: string, end: Date): GatewayError {
  return new GatewayError(
    'invalid_authorization_specification',
    `the password of user "${user}" is not good any more`,
    {
      detail: `It was good until ${end.toISOString()}.`,
      hint: 'Log in with a token, or ask for a new password.',
    },
  );
}

/** The end of a session whose password is not good any more. */
export const OVER = new GatewayError('admin_shutdown', 'the password is not good any more', {
  hint: 'Log in with a token, or ask for a new password.',
});
