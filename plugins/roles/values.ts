/** The values by which a token's claims name roles, in whatever shape its issuer writes them. */
import { badOption, claimAt, readChoice, readTexts } from '../../core/index.ts';

type Claims = Readonly<Record<string, unknown>>;

/**
 * Reads a claim of the token by its name or path; undefined if there is none.
 * @throws GatewayError where the issuer keeps the claim elsewhere, which refuses the token
 */
export type ReadClaim = (claim: string) => unknown;

/** Where values are: a claim, several whose values are taken together, or what a function makes of claims. */
export type ClaimOption = string | readonly string[] | ((claim: ReadClaim) => unknown);

/** How else than as a text or a list of texts values may stand: as words between blanks, or as the keys of an object. */
export type Shape = 'words' | 'keys';

/** Reads the values of one token. */
export interface Values {
  /** What is read, for the operator's log. */
  readonly name: string;
  /** Undefined if none of the claims is there. @throws GatewayError as {@link ReadClaim} */
  read(claims: Claims): readonly string[] | Unfit | undefined;
}

/** What is no text and no list of texts. */
export interface Unfit {
  readonly unfit: unknown;
}

const SHAPES: readonly Shape[] = ['words', 'keys'];

function textsIn(value: unknown, shape: Shape | undefined): readonly string[] | null {
  // RFC 6749 §3.3: scopes are delimited by single blanks.
  if (typeof value === 'string')
    return shape === 'words' ? value.split(' ').filter((word) => word !== '') : [value];
  if (Array.isArray(value)) return value.every((item) => typeof item === 'string') ? value : null;
  return shape === 'keys' && typeof value === 'object' && value !== null ? Object.keys(value) : null;
}

function alone(value: unknown, shape: Shape | undefined): ReturnType<Values['read']> {
  return value === undefined ? undefined : (textsIn(value, shape) ?? { unfit: value });
}

function together(found: readonly unknown[], shape: Shape | undefined): ReturnType<Values['read']> {
  if (found.length === 1) return alone(found[0], shape);
  const there = found.filter((value) => value !== undefined);
  if (there.length === 0) return undefined;
  const values = there.map((value) => textsIn(value, shape));
  const wrong = values.indexOf(null);
  return wrong < 0 ? values.flatMap((texts) => texts ?? []) : { unfit: there[wrong] };
}

function namesOf(path: string, claim: unknown): readonly string[] {
  if (Array.isArray(claim) && claim.length === 0) badOption(path, 'a list with at least one claim is needed');
  return readTexts(path, claim);
}

/** Checks `claim` and `as`. @throws ConfigError */
export function valuesOf(
  path: string,
  { claim, as: shape }: { readonly claim: ClaimOption; readonly as?: Shape },
): Values {
  if (shape !== undefined) readChoice(`${path}.as`, shape, SHAPES);
  if (typeof claim === 'function') {
    const read: Values['read'] = (claims) => together([claim((name) => claimAt(claims, name))], shape);
    return { name: 'what claim makes of the token', read };
  }
  const names = namesOf(`${path}.claim`, claim);
  return {
    name: `claim ${names.join(', ')}`,
    read: (claims) =>
      together(
        names.map((name) => claimAt(claims, name)),
        shape,
      ),
  };
}
