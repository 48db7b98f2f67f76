/** The hints that a plugin's folder gives about itself, for configs that lack such a plugin: its module `hints.ts` exports `hints`. */
import type { Credential } from './credential.ts';
import type { FactName } from './facts.ts';

/** What a plugin is for, without being made. */
export interface PluginHints {
  /** The facts that it provides. Default: none. */
  readonly provides?: readonly FactName[];
  /** The credentials that it is for. Default: all. */
  readonly credentials?: readonly Credential[];
  /** How a config lists it so that it announces an issuer to clients of OAUTHBEARER. Default: it announces none. */
  readonly announces?: string;
  /** It takes the orders of operators. Default: it does not. */
  readonly takesOrders?: boolean;
}
