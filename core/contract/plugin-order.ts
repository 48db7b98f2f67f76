/** The order of a config's plugins, checked by the compiler: each need is provided above it. */
import type { Credential } from './credential.ts';
import type { FactName } from './facts.ts';

type Of<P, K extends 'needs' | 'provides'> = P extends {
  readonly [_ in K]?: readonly (infer F extends FactName)[];
}
  ? F
  : never;
type CredentialsOf<P> = P extends { readonly credentials?: readonly (infer C extends Credential)[] }
  ? C
  : never;
/** A fact for those who come with a credential. */
type Given<F extends FactName, C extends Credential> = `${C} ${F}`;
type AllOf<P> = Given<Of<P, 'provides'>, CredentialsOf<P>>;
/** The facts that nobody provides to a client that a plugin may see. Which credentials listeners take is not known here. */
type Lacks<F extends FactName, C extends Credential, Have> = F extends FactName
  ? [Given<F, C> & Have] extends [never]
    ? F
    : never
  : never;
type FactIn<G> = G extends `${Credential} ${infer F}` ? F : never;
type Says<Why extends string> = { readonly postern: Why };
type Fits<P, N extends string, Have> = [Lacks<Of<P, 'needs'>, CredentialsOf<P>, Have>] extends [never]
  ? [AllOf<P> & Have] extends [never]
    ? P
    : Says<`'${N}' provides '${FactIn<AllOf<P> & Have>}', which a plugin above provides already`>
  : Says<`'${N}' needs '${Lacks<Of<P, 'needs'>, CredentialsOf<P>, Have>}': list a plugin that provides it above`>;
// A function has a name, as a plugin has, and everything else of a plugin is optional.
type Check<P, Have> = P extends (...args: never) => unknown
  ? Says<'this is a function: did you forget to call it?'>
  : P extends { readonly name: infer N extends string }
    ? Fits<P, N, Have>
    : P;

/** The list `L` itself if every need is provided above it, else a type whose one property says what is wrong. */
export type Ordered<L extends readonly unknown[], Have = never> = L extends readonly [infer P, ...infer Rest]
  ? readonly [Check<P, Have>, ...Ordered<Rest, Have | AllOf<P>>]
  : L;
