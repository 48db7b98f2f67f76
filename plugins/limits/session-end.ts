/** When a session has to end, by its windows and its longest duration; renewed rules move it. */
import { GatewayError } from '../../core/index.ts';
import type { AccessWindow, Session, TokenRules } from '../../core/index.ts';
import { milliseconds } from '../../core/index.ts';
import type { Limits } from './options.ts';
import { openUntil, windowText } from './windows.ts';

/** The last date there is (ECMA-262 §21.4.1.1): an appointment for never. */
const NEVER = new Date(8.64e15);
/** How long before its end a client gets a NOTICE, in milliseconds. */
const NOTICE_MS = 60_000;

type Windows = readonly AccessWindow[] | undefined;

/** The earliest of the ends of both sets of windows, since both have to be open; undefined: one is closed. */
function closing(of: readonly Windows[], now: number): number | undefined {
  const ends = of.map((windows) => (windows === undefined ? Infinity : openUntil(windows, now)));
  return ends.includes(undefined) ? undefined : Math.min(...(ends as number[]));
}

function dateOf(at: number): Date {
  return Number.isFinite(at) ? new Date(at) : NEVER;
}

/** One per session. */
export class SessionEnd {
  readonly #limits: Limits;
  readonly #session: Session;
  readonly #startedAt = Date.now();
  #closes: { move(at: Date): void } | undefined;
  #expires: { move(at: Date): void } | undefined;

  constructor(limits: Limits, session: Session) {
    this.#limits = limits;
    this.#session = session;
    SessionEnd.refuseLate(limits, session.facts.rules ?? {});
  }

  /** Refuses what could not even begin under these rules: no window is open, or the time of an open session is over. @throws GatewayError */
  static refuseLate(limits: Limits, rules: TokenRules, open?: SessionEnd): void {
    const now = Date.now();
    if (closing([limits.windows, rules.windows], now) === undefined) {
      throw new GatewayError('invalid_authorization_specification', 'access is not allowed at this time', {
        cause: new Error(whyClosed(limits, rules, now)),
      });
    }
    if (open && open.#lastMoment(rules) <= now) {
      throw new GatewayError(
        'invalid_authorization_specification',
        'the session has lasted as long as it may',
        {
          cause: new Error(
            `it began at ${new Date(open.#startedAt).toISOString()}, ${longest(limits, rules)}`,
          ),
        },
      );
    }
  }

  /** Makes the appointments, or moves them to where the rules that are in force now want them. */
  begin(): void {
    const rules = this.#session.facts.rules ?? {};
    const closes = dateOf(closing([this.#limits.windows, rules.windows], Date.now()) ?? 0);
    const expires = dateOf(this.#lastMoment(rules));
    const how = { noticeMs: NOTICE_MS };
    if (this.#closes) this.#closes.move(closes);
    else if (closes !== NEVER) this.#closes = this.#session.endAt(closes, closed(), how);
    if (this.#expires) this.#expires.move(expires);
    else if (expires !== NEVER) this.#expires = this.#session.endAt(expires, overlong(), how);
  }

  #lastMoment({ maxSession }: TokenRules): number {
    const own = maxSession === undefined ? Infinity : milliseconds(maxSession);
    return this.#startedAt + Math.min(this.#limits.maxSessionMs ?? Infinity, own);
  }
}

/** Windows that a line of the log names. */
const MOST_NAMED = 3;

function whyClosed({ windows }: Limits, rules: TokenRules, now: number): string {
  const sets = { 'limits.windows': windows, "the token's rule windows": rules.windows };
  const closedSets = Object.entries(sets).filter(([, set]) => closing([set], now) === undefined);
  const texts = closedSets.map(([name, set = []]) => {
    const some = set.slice(0, MOST_NAMED).map((window) => windowText(window, now));
    return `${name}: ${some.length === 0 ? 'there is none' : some.join('; ')}`;
  });
  return `no access window is open (${texts.join('; ')})`;
}

function longest({ maxSessionMs = Infinity }: Limits, { maxSession }: TokenRules): string {
  const own = maxSession === undefined ? Infinity : milliseconds(maxSession);
  return own < maxSessionMs
    ? `${own / 1_000} s allowed (the token's rule max_session_duration)`
    : `${maxSessionMs / 1_000} s allowed (limits.maxSession)`;
}

function closed(): GatewayError {
  return new GatewayError('admin_shutdown', 'terminating connection: the time of access is over');
}

function overlong(): GatewayError {
  return new GatewayError(
    'admin_shutdown',
    'terminating connection: the session has lasted as long as it may',
    {
      hint: 'Connect again to go on.',
    },
  );
}
