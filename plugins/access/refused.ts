/** Why a request is not done, with the status that says so. */

/** What kind of no it is; the token endpoint has its own word for each (RFC 8693 §2.2.2). */
export type RefusalKind = 'request' | 'outside' | 'caller' | 'rate' | 'conflict' | 'missing' | 'busy';

const STATUS: Readonly<Record<RefusalKind, number>> = {
  request: 400,
  caller: 401,
  outside: 403,
  missing: 404,
  conflict: 409,
  rate: 429,
  busy: 503,
};

/** Its message is for the caller: one sentence, nothing secret. */
export class Refused extends Error {
  override readonly name = 'Refused';
  readonly kind: RefusalKind;
  readonly status: number;
  /** Seconds until another try makes sense. */
  readonly retryAfter: number | undefined;
  /** For the operator's log only: what the policy wants, and what there was. */
  readonly reason: string | undefined;

  constructor(
    kind: RefusalKind,
    message: string,
    more: { readonly retryAfter?: number; readonly status?: number; readonly reason?: string } = {},
  ) {
    super(message);
    this.kind = kind;
    this.status = more.status ?? STATUS[kind];
    this.retryAfter = more.retryAfter;
    this.reason = more.reason;
  }

  /** Headers of the answer. */
  get headers(): Readonly<Record<string, string>> {
    return {
      ...(this.status === 401 && { 'www-authenticate': 'Bearer' }),
      ...(this.retryAfter !== undefined && { 'retry-after': String(this.retryAfter) }),
    };
  }
}

/** The one answer to all who are not known, whatever is wrong with what they show. */
export function unknownCaller(): Refused {
  return new Refused('caller', 'a good token or API key is needed');
}

/** Where instances of a fleet have to agree, and its store does not answer, or the gateway stops. @throws Refused 503 */
export function shareless(cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : 'unknown';
  throw new Refused('busy', 'this cannot be done now: try again', { retryAfter: 5, reason });
}
