/** Who asks: the holder of a token that the verifier takes, or of an API key of which only the hash is known. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { GatewayError, shown, shownChoice } from '../../core/index.ts';
import type { GatewayHandle, Identity } from '../../core/index.ts';
import type { Policy } from './policy.ts';
import { Refused, unknownCaller } from './refused.ts';

/** Somebody who may ask. */
export interface Caller {
  /** The `iss` of the token; `api-key` for a key. */
  readonly issuer: string;
  /** The `sub` of the token; the name of the key. */
  readonly subject: string;
  /** The `sub` of the tokens that this one is given: no two callers have the same. */
  readonly name: string;
  readonly claims: Readonly<Record<string, unknown>>;
  /** The name of the key. */
  readonly apiKey?: string;
}

const BEARER = /^Bearer ([\w.~+/-]+=*)$/i;
/** Longest header that is looked at, in characters: tokens are bounded by `jwt`. */
const LONGEST = 'Bearer '.length + 65_536;
/** Shorter keys could be guessed from their hash. */
const SHORTEST_KEY = 32;
/** The compact form of a token (RFC 7515 §7.1). */
const COMPACT = /^[^.]+\.[^.]+\.[^.]*$/;

/** What a request shows, or why that is nothing. */
export function credentialOf({
  headers,
}: Request): { readonly credential: string } | { readonly why: string } {
  const given = headers.get('authorization');
  if (given === null) return { why: 'there is no Authorization header' };
  if (given.length > LONGEST) return { why: `the Authorization header is longer than ${LONGEST} bytes` };
  const [, credential] = BEARER.exec(given) ?? [];
  if (credential !== undefined) return { credential };
  return { why: "the Authorization header is not 'Bearer' with a token or API key" };
}

/** The callers of one config. */
export class Callers {
  readonly #policy: Policy;
  readonly #gateway: GatewayHandle;

  constructor(policy: Policy, gateway: GatewayHandle) {
    this.#policy = policy;
    this.#gateway = gateway;
  }

  /** What a request shows. @throws Refused where it shows nothing */
  credentialIn(request: Request): string {
    const found = credentialOf(request);
    return 'credential' in found ? found.credential : this.#unknown(found.why);
  }

  /** @throws Refused, one text for all who are not known */
  async recognize(credential: string): Promise<Caller> {
    return COMPACT.test(credential) ? this.recognizeToken(credential) : this.#byKey(credential);
  }

  /** Tokens only. @throws Refused */
  async recognizeToken(token: string): Promise<Caller> {
    const identity = await this.#verified(token);
    const { issuer, subject, claims } = identity;
    const { issuers } = this.#policy;
    if (!issuers.includes(issuer)) {
      const wanted = issuers.length === 0 ? 'none' : shownChoice(issuers);
      return this.#unknown(`iss is ${shown(issuer)}, wanted ${wanted} (access.callers.issuers)`);
    }
    return { issuer, subject, claims, name: this.#nameOf(identity) };
  }

  /** The identity in an operator's token, whoever else it makes; undefined for anything else. */
  async operator(credential: string): Promise<Identity | undefined> {
    if (!COMPACT.test(credential)) return undefined;
    try {
      return await this.#gateway.service('operators')?.recognize(credential);
    } catch (error) {
      if (error instanceof GatewayError) return undefined;
      throw error;
    }
  }

  async #verified(token: string): Promise<Identity> {
    const verifier = this.#gateway.service('verifier');
    if (!verifier) throw new Error('no plugin verifies tokens');
    const { fleet } = this.#gateway;
    // What it grants would outlive a revocation that has not come here.
    if (fleet?.isStale && fleet.away.revocations !== 'goOn') throw this.#notNow('the fleet is stale');
    try {
      return await verifier.verify(token);
    } catch (error) {
      if (!(error instanceof GatewayError)) throw error;
      if (error.code === 'cannot_connect_now') throw this.#notNow(whyOf(error));
      return this.#unknown(whyOf(error));
    }
  }

  #notNow(reason: string): Refused {
    this.#gateway.log.warn({ reason }, 'access: token not verifiable');
    return new Refused('busy', 'tokens cannot be verified at the moment', { retryAfter: 5 });
  }

  /** Every hash is compared: how long that takes says nothing. */
  #byKey(key: string): Caller {
    const hash = createHash('sha256').update(key).digest();
    const found = this.#policy.apiKeys.filter(({ sha256 }) => timingSafeEqual(sha256, hash))[0];
    if (!found || key.length < SHORTEST_KEY) return this.#unknown('no such API key, and no JWT');
    const { name, expiresAt } = found;
    if (Date.now() >= expiresAt)
      return this.#unknown(`API key ${name} expired at ${new Date(expiresAt).toISOString()}`);
    return { issuer: 'api-key', subject: name, name: `key:${name}`, claims: {}, apiKey: name };
  }

  /** Two issuers may know different people by one name, and somebody may be called as a key is. */
  #nameOf({ issuer, subject }: Identity): string {
    const plain = issuer === this.#policy.issuers[0] && !/^key:|#/.test(subject);
    return plain ? subject : `${issuer}#${subject}`;
  }

  #unknown(reason: string): never {
    this.#gateway.log.warn({ reason }, 'access: caller not known');
    throw unknownCaller();
  }
}

function whyOf({ cause, message }: GatewayError): string {
  return cause instanceof Error ? cause.message : message;
}
