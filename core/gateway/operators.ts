/** Who is an operator: one check for the HTTP interface and for the console. */
import { hasClaim } from '../claim.ts';
import type { AdminOptions } from '../config.ts';
import { GatewayError } from '../errors.ts';
import type { Identity, TokenVerifier } from '../facts.ts';

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
    const verifier = this.#options.verifier();
    if (!verifier) {
      const cause = new Error('no plugin verifies tokens');
      throw new GatewayError('invalid_password', 'password authentication failed', { cause });
    }
    const identity = await verifier.verify(token);
    return this.#isOperator(identity) ? identity : undefined;
  }

  #isOperator({ claims, issuer }: Identity): boolean {
    const { rule } = this.#options;
    if (!rule || (rule.issuer !== undefined && rule.issuer !== issuer)) return false;
    return hasClaim(claims, rule.claim, rule.value);
  }
}
