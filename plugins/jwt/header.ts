/** The header policy (RFC 7515 §4, RFC 8725 §3): what is refused before any key is looked for. */
import { shown, shownChoice } from '../../core/index.ts';
import type { Algorithm } from './options.ts';
import { TokenRefused } from './refusal.ts';

/** Longest `kid` in bytes: it is a map key and nothing else. */
const MAX_KID_BYTES = 256;

/** What picks the key. */
export interface KeyHint {
  readonly alg: Algorithm;
  readonly kid?: string;
  /** The token's issuer, for sets with keys of several. */
  readonly issuer?: string;
}

/** Parameters that change what the signature covers or how the payload is read; none is supported, so none may pass. */
const FORBIDDEN = ['crit', 'b64', 'zip', 'enc'] as const;

function bareType(value: unknown): string {
  return typeof value === 'string' ? value.toLowerCase().replace(/^application\//, '') : '';
}

/** `JOSE` says no more than no `typ` (RFC 7515 §4.1.9); SPIFFE allows it (JWT-SVID §2.3). */
const USUAL = ['JWT', 'at+jwt', 'JOSE'];

function checkType(typ: unknown, wanted: readonly string[] | undefined): void {
  if (typ === undefined && wanted === undefined) return;
  const good = wanted ?? USUAL;
  if (!good.some((name) => bareType(name) === bareType(typ))) {
    throw new TokenRefused(`typ is ${shown(typ)}, wanted ${shownChoice(good)}`);
  }
}

function keyId(kid: unknown): { kid?: string } {
  if (kid === undefined) return {};
  if (typeof kid !== 'string' || kid === '' || Buffer.byteLength(kid) > MAX_KID_BYTES) {
    throw new TokenRefused(`kid is ${shown(kid)}, a text of 1 to ${MAX_KID_BYTES} bytes is needed`);
  }
  return { kid };
}

/**
 * Checks a header. `jku`, `x5u`, `jwk` and `x5c` are not looked at: keys come from the config alone.
 * @throws TokenRefused
 */
export function checkHeader(
  header: Readonly<Record<string, unknown>>,
  policy: { readonly algorithms: readonly Algorithm[]; readonly typ?: readonly string[] },
): KeyHint {
  const { typ, cty, kid } = header;
  for (const name of FORBIDDEN) {
    if (Object.hasOwn(header, name)) throw new TokenRefused(`header parameter ${name} is not supported`);
  }
  if (cty !== undefined && bareType(cty) !== 'json')
    throw new TokenRefused(`cty is ${shown(cty)}: a token inside of a token is not read`);
  const alg = policy.algorithms.find((name) => name === header['alg']);
  if (alg === undefined)
    throw new TokenRefused(`alg is ${shown(header['alg'])}, wanted ${shownChoice(policy.algorithms)}`);
  checkType(typ, policy.typ);
  return { alg, ...keyId(kid) };
}
