/** Who is an operator: one check for every way that operators come. */
import { claimAt, hasClaim } from '../options/claim.ts';
import type { AdminOptions } from '../contract/config.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Identity, TokenVerifier } from '../contract/facts.ts';
import { shown } from '../options/shown.ts';

/** How operators are told from others. */
export interface OperatorsOptions {
  /** Undefined: nobody is one. */
  readonly rule: AdminOptions['operators'];
  /** Undefined: no plugin verifies tokens, and nobody is an operator. */
  readonly verifier: () => TokenVerifier | undefined;
}

/** The operators of one config. */
export class Operators {
  readonly #options: OperatorsOptions;

  constructor(options: OperatorsOptions) {
    this.#options = options;
  }

  /**
   * The identity in an operator's token; undefined for anybody else's good token.
   * @throws GatewayError `invalid_password` for a token that is not good, `invalid_authorization_specification` for one whose
   * issuer keeps the claim elsewhere; what else the verifier throws
   */
  async recognize(token: string): Promise<Identity | undefined> {
    const found = await this.check(token);
    return 'identity' in found ? found.identity : undefined;
  }

  /**
   * As {@link recognize}, with the reason for the operators' log.
   * @throws as that does
   */
  async check(token: string): Promise<{ readonly identity: Identity } | { readonly why: string }> {
    const verifier = this.#options.verifier();
    if (!verifier) {
      const cause = new Error('no plugin verifies tokens');
      throw new GatewayError('invalid_password', 'password authentication failed', { cause });
    }
    const identity = await verifier.verify(token);
    const why = this.#whyNot(identity);
    return why === undefined ? { identity } : { why };
  }

  /** Why somebody is no operator; undefined for one. */
  #whyNot({ claims, issuer, subject }: Identity): string | undefined {
    const { rule } = this.#options;
    const who = `${shown(subject)} of ${shown(issuer)}`;
    if (!rule) return `${who}: the config has no admin.operators`;
    if (rule.issuer !== undefined && rule.issuer !== issuer)
      return `${who}: iss is wanted to be ${shown(rule.issuer)} (admin.operators.issuer)`;
    if (hasClaim(claims, rule.claim, rule.value)) return undefined;
    const claim = shown(claimAt(claims, rule.claim));
    return `${who}: claim ${rule.claim} is ${claim}, wanted ${shown(rule.value)} (admin.operators)`;
  }
}
