/** Passwords that a database keeps: a function is asked for the verifier of a user, and its answers are kept for a while. */
import { ConfigError, GatewayError, parseScramVerifier, shown } from '../../core/index.ts';
import type { GatewayHandle, LookupRow } from '../../core/index.ts';
import type { From } from './policy.ts';
import type { KnownPassword, PasswordSource } from './source.ts';

/** How long an answer is good, also that there is no such user, in milliseconds. */
const GOOD_MS = 30_000;
/** Answers kept at most; the oldest go first. */
const CAPACITY = 10_000;

/** An answer, or the question that waits for it. */
interface Kept {
  readonly until: number;
  readonly answer: Promise<KnownPassword | undefined>;
}

type Query = Extract<From, { kind: 'query' }>;

/** One function of one database. */
export class PasswordQuery implements PasswordSource {
  readonly iterations: number;
  readonly #query: Query;
  readonly #sql: string;
  readonly #gateway: Pick<GatewayHandle, 'lookUp' | 'log'>;
  readonly #kept = new Map<string, Kept>();

  constructor(query: Query, gateway: Pick<GatewayHandle, 'lookUp' | 'log'>) {
    this.iterations = query.iterations;
    this.#query = query;
    this.#gateway = gateway;
    // Of a-z 0-9 _ and one dot. What a client sends is a parameter.
    this.#sql = `select p.verifier, pg_catalog.date_part('epoch', p.valid_until)
  from ${query.function}($1) as p(verifier, valid_until) limit 1`;
  }

  /** Asks once at boot: only a database that the config has not is a reason not to start. @throws ConfigError */
  async tryOut(): Promise<void> {
    try {
      await this.#rowOf('');
    } catch (error) {
      const { database } = this.#query;
      if (error instanceof GatewayError && error.code === 'invalid_catalog_name')
        throw new ConfigError(`passwords.query.database: ${error.message}`);
      const reason = reasonOf(error);
      this.#gateway.log.error(
        { database, reason },
        'passwords cannot be asked for: see postern sql passwords',
      );
    }
  }

  /** Logins that come together ask once. @throws GatewayError `cannot_connect_now` where the database cannot be asked */
  find(user: string): Promise<KnownPassword | undefined> {
    const now = performance.now();
    const kept = this.#kept.get(user);
    if (kept && kept.until > now) return kept.answer;
    const answer = this.#ask(user);
    this.#kept.delete(user);
    this.#kept.set(user, { until: now + GOOD_MS, answer });
    const [oldest] = this.#kept.keys();
    if (this.#kept.size > CAPACITY && oldest !== undefined) this.#kept.delete(oldest);
    answer.catch(() => {
      if (this.#kept.get(user)?.answer === answer) this.#kept.delete(user);
    });
    return answer;
  }

  async #ask(user: string): Promise<KnownPassword | undefined> {
    const row = await this.#rowOf(user).catch((cause: unknown) => {
      // The line of the refused login has the reason, and is limited: one here would be one for each try of a stranger.
      const text = 'passwords cannot be verified at the moment';
      throw new GatewayError('cannot_connect_now', text, { hint: 'Try again in a moment.', cause });
    });
    const [text = null] = row ?? [];
    if (!row || text === null) return undefined;
    const verifier = parseScramVerifier(text);
    if (verifier) return { verifier, until: untilIn(row) };
    this.#gateway.log.warn(
      { user: shown(user) },
      'the password of a user is no SCRAM verifier: it cannot be used',
    );
    return undefined;
  }

  async #rowOf(user: string): Promise<LookupRow | undefined> {
    const { database, role } = this.#query;
    const [row] = await this.#gateway.lookUp({ database, role, sql: this.#sql, values: [user] });
    return row;
  }
}

/** The messages of an error and its causes. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'no reason';
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`;
}

/** Null and infinity are no end. */
function untilIn([, seconds]: LookupRow): Date | undefined {
  const ms = Number(seconds ?? Infinity) * 1_000;
  if (ms === -Infinity) return new Date(0);
  const at = new Date(ms);
  return Number.isNaN(at.getTime()) ? undefined : at;
}
