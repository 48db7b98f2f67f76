/** What SQL could not have as the token says it: numbers that JSON.parse has rounded, texts that PostgreSQL cannot hold. */
import { GatewayError, printable } from '../../core/index.ts';

type Why = readonly [message: string, hint: string, reason: string];

const ROUNDED: Why = [
  'the token has a number that cannot be passed on exactly',
  'Integers from 2^53 have to be texts in the token.',
  'is a number of 2^53 or more',
];
const UNHEARD: Why = [
  'the token has a text that PostgreSQL cannot hold',
  'U+0000 and halves of surrogate pairs cannot be in a claim.',
  'has U+0000 or half of a surrogate pair',
];

/** `jsonb` has neither (manual, 8.14). A pair is one character here, and what is left of that category are halves. */
const UNHOLDABLE = /\0|\p{Surrogate}/u;

/** JSON.parse rounds integers from 2^53, and takes too large ones for Infinity (RFC 8259 §6). */
function isRounded(value: number): boolean {
  return !Number.isFinite(value) || Math.abs(value) >= 2 ** 53;
}

function wrongIn(value: unknown): Why | undefined {
  if (typeof value === 'number') return isRounded(value) ? ROUNDED : undefined;
  if (typeof value === 'string') return UNHOLDABLE.test(value) ? UNHEARD : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, inner] of Object.entries(value)) {
    const wrong = wrongIn(name) ?? wrongIn(inner);
    if (wrong) return wrong;
  }
  return undefined;
}

/** Refuses claims that policies could not rely on. @throws GatewayError `invalid_authorization_specification`; its cause names the claim */
export function refuseInexact(claims: object): void {
  for (const [name, value] of Object.entries(claims)) {
    const wrong = wrongIn(name) ?? wrongIn(value);
    if (!wrong) continue;
    const [message, hint, reason] = wrong;
    const cause = new Error(`claim ${printable(name)} ${reason}`);
    throw new GatewayError('invalid_authorization_specification', message, { hint, cause });
  }
}
