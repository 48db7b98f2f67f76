/** Makes members of audit lines from what the gateway tells: the documented form is event.schema.json. */
import { withoutLiterals, withoutTokens } from '../../core/index.ts';
import type {
  Actor,
  Client,
  Ended,
  Events,
  GatewayError,
  RevocationTarget,
  Session,
} from '../../core/index.ts';
import { json, members } from './json.ts';

/** How the SQL of statements is written down. */
export type Texts = 'sanitised' | 'whole' | 'none';

/** A thousandth in decimals, as JSON writes it: `.012`, nothing for 0. */
const THOUSANDTHS = Array.from({ length: 1_000 }, (_, n) => String(n / 1_000).slice(1));

let lastSecond = NaN;
let secondText = '';

/** Many statements begin in the same second. */
function timeOf(time: number): string {
  const ms = Math.floor(time);
  const second = Math.floor(ms / 1_000);
  if (second !== lastSecond) {
    lastSecond = second;
    secondText = `"time":"${new Date(second * 1_000).toISOString().slice(0, -4)}`;
  }
  return `${secondText}${String(1_000 + ms - second * 1_000).slice(1)}Z"`;
}

/** The core gives the same list to all statements that end with the same single tag. */
const lists = new WeakMap<readonly string[], string>();

function listOf(tags: readonly string[]): string {
  let text = lists.get(tags);
  if (text === undefined) lists.set(tags, (text = json(tags)));
  return text;
}

/** Microseconds are all that is meant. */
const rounded = (ms: number): number => Math.round(ms * 1000) / 1000;

/** The same as JSON, without the search for the shortest decimals. */
function roundedText(ms: number): string {
  const microseconds = Math.round(ms * 1_000);
  const whole = Math.floor(microseconds / 1_000);
  return `${whole}${THOUSANDTHS[microseconds - whole * 1_000] ?? ''}`;
}

/** What the client was told, and what only operators may know of it. */
function why(error: GatewayError | undefined): Readonly<Record<string, unknown>> {
  if (!error) return {};
  const { cause, message } = error;
  return { message, ...(cause instanceof Error && { reason: cause.message }) };
}

function clientOf({ address, port, listener, tls }: Client): Readonly<Record<string, unknown>> {
  return {
    address,
    port,
    listener,
    tls: tls !== undefined,
    certificateSha256: tls?.certificateSha256,
  };
}

interface Who {
  readonly identity: unknown;
  readonly upstream: unknown;
  readonly text: string;
}

/** Who a session is, in each of its lines; made anew when it has other facts. */
class Parties {
  readonly #known = new WeakMap<Session, Who>();

  of(session: Session): string {
    const { identity } = session.facts;
    const { upstream } = session;
    const known = this.#known.get(session);
    if (known && known.identity === identity && known.upstream === upstream) return known.text;
    const text = members({
      session: session.id,
      issuer: identity?.issuer,
      subject: identity?.subject,
      tokenId: identity?.tokenId,
      role: upstream?.role,
      database: session.startup.database,
      server: upstream && { entry: upstream.entry, database: upstream.database },
      user: session.startup.user,
      ...clientOf(session.client),
    });
    this.#known.set(session, { identity, upstream, text });
    return text;
  }
}

/** Texts whose form is kept: so many, and so many UTF-16 code units of them. Those with values in them come only once. */
const KEPT_TEXTS = 1_000;
const KEPT_UNITS = 4_194_304;

/** What was made of the last texts. Two maps take turns, so that none has to be searched for its oldest entry. */
class Recent {
  readonly #make: (text: string) => string;
  #young = new Map<string, string>();
  #old = new Map<string, string>();
  #units = 0;

  constructor(make: (text: string) => string) {
    this.#make = make;
  }

  of(text: string): string {
    const young = this.#young.get(text);
    if (young !== undefined) return young;
    const made = this.#old.get(text) ?? this.#make(text);
    this.#units += text.length + made.length + 64;
    if (this.#units > KEPT_UNITS / 2 || this.#young.size >= KEPT_TEXTS / 2) {
      this.#old = this.#young;
      this.#young = new Map();
      this.#units = text.length + made.length + 64;
    }
    this.#young.set(text, made);
    return made;
  }
}

/** SQL as it is written down, by the SQL: prepared statements come again and again, others with other values. */
function sqlTexts(texts: Texts): (sql: string) => string {
  if (texts === 'none') return () => '';
  const written = new Recent((text) => `,"sql":${json(text)}`);
  if (texts === 'whole') return (sql) => written.of(withoutTokens(sql));
  const whole = new Recent((sql) => written.of(withoutLiterals(sql)));
  return (sql) => whole.of(sql);
}

/** One per plugin. Each method gives the members of one line, behind its number. */
export class Recorder {
  readonly #parties = new Parties();
  readonly #textOf: (sql: string) => string;

  constructor(texts: Texts) {
    this.#textOf = sqlTexts(texts);
  }

  /** In one piece and by hand: it is written for each statement. */
  statement(event: Events['statement'], parameters?: readonly (string | null)[]): string {
    const { session, startedAt, durationMs, id, kind, tags, rows, bytesIn, bytesOut, sqlstate } = event;
    return (
      `${timeOf(startedAt)},"type":"statement",${this.#parties.of(session)},"id":${id},"kind":"${kind}","tags":${listOf(tags)},` +
      `"rows":${rows},"bytesIn":${bytesIn},"bytesOut":${bytesOut},"durationMs":${roundedText(durationMs)}` +
      (sqlstate === undefined ? '' : `,${members({ sqlstate, ...why(event.error) })}`) +
      (event.function === undefined ? '' : `,"function":${event.function}`) +
      this.#textOf(event.sql) +
      (event.truncated ? ',"truncated":true' : '') +
      (parameters ? `,"parameters":${json(parameters)}` : '')
    );
  }

  login(event: Events['login']): string {
    return `${this.#ended('login', event)},"credential":"${event.session.credential}"`;
  }

  discovery(event: Events['discovery']): string {
    return this.#ended('discovery', event);
  }

  renewal(event: Events['renewal']): string {
    return this.#ended('renewal', event);
  }

  logout(event: Events['close']): string {
    return `${this.#ended('logout', event)},"end":"${event.reason.kind}"`;
  }

  refusal({ client, why: reason }: Events['refused']): string {
    return this.#now('refusal', { ...clientOf(client), reason });
  }

  revocation({ by, id, what, takenBack, sessions }: Events['revocation']): string {
    return this.#now('revocation', { by: actor(by), id, takenBack, what: targetOf(what), sessions });
  }

  operator({ by, via, verb, target }: Events['operator']): string {
    return this.#now('operator', { by: actor(by), via, verb, target });
  }

  access({ by, ...decision }: Events['access']): string {
    return this.#now('access', { by: actor(by), ...decision });
  }

  /** The trail's own lines: where it begins and ends, and what it has lost. */
  mark(type: 'opened' | 'closed' | 'dropped', more: Readonly<Record<string, unknown>>): string {
    return this.#now(type, more);
  }

  #now(type: string, more: Readonly<Record<string, unknown>>): string {
    return `${timeOf(Date.now())},${members({ type, ...more })}`;
  }

  #ended(type: string, { session, startedAt, durationMs, sqlstate, error }: Ended): string {
    const outcome = { durationMs: rounded(durationMs), sqlstate, ...why(error) };
    return `${timeOf(startedAt)},"type":"${type}",${this.#parties.of(session)},${members(outcome)}`;
  }
}

function actor(by: Actor | undefined): Actor | undefined {
  return by && { issuer: by.issuer, subject: by.subject };
}

function targetOf(what: RevocationTarget): Readonly<Record<string, string | undefined>> {
  return 'before' in what ? { issuer: what.issuer, before: what.before.toISOString() } : { ...what };
}
