/** One session of one person: what it was told, what it left, and what it may therefore meet. */
import type { Entry } from './entries.ts';
import type { Findings, Kind } from './findings.ts';
import type { OutstandingRequests } from './ledger.ts';
import type { Person } from './people.ts';
import { OwnSettings } from './own-settings.ts';
import { full, judge, quick, rowOf } from './probe.ts';
import type { Probe } from './probe.ts';
import type { Random } from './random.ts';
import type { Stage } from './stage.ts';
import type { Answer, WireClient } from './wire-client.ts';

/** What all sessions of a run share. */
export interface Run {
  readonly seed: number;
  readonly stage: Stage;
  readonly findings: Findings;
  readonly ledger: OutstandingRequests;
  readonly copied: OutstandingRequests;
  readonly random: Random;
  /** Nothing new is begun. */
  readonly over: boolean;
}

/** Thrown when a session has come to its end; what was wrong with that has been noted. */
export class Over extends Error {}

/** What may happen where PostgreSQL is killed and connections are cut. */
const ROUGH = /^(08|57P|53300|25P02)/;
/** What wreckers meet of what they and their like left: time-outs, read-only transactions, a role without privileges. */
const WRECKED = /^(57014|25006|25P02|40001|42501)/;
const BY_USER = 'canceling statement due to user request';

/** What the session is, beside its client. */
export interface SessionParts {
  readonly run: Run;
  readonly entry: Entry;
  readonly person: Person;
  readonly client: WireClient;
  readonly id: number;
}

/** One per login. */
export class Session {
  readonly run: Run;
  readonly entry: Entry;
  readonly person: Person;
  readonly client: WireClient;
  readonly id: number;
  /** Names of statements that it has prepared. */
  readonly prepared = new Set<string>();
  /** What it has set for itself. */
  readonly own = new OwnSettings();
  /** Part of these names. */
  names = 0;
  /** It has overwritten its claims on the connection that it keeps. */
  forged = false;
  /** It keeps its connection until it leaves. */
  pinned: boolean;
  /** Cancels that it has sent and that are not over. */
  cancelling = 0;
  #step = 0;
  #status = 'I';

  constructor({ run, entry, person, client, id }: SessionParts) {
    this.run = run;
    this.entry = entry;
    this.person = person;
    this.client = client;
    this.id = id;
    this.pinned = entry.mode === 'session';
  }

  /** Unique to this request. */
  tag(): string {
    this.#step += 1;
    return `${this.id}.${this.#step}`;
  }

  violation(kind: Kind, text: string): void {
    const { seed, findings } = this.run;
    const who = `${this.person.subject} (${this.person.role}) on ${this.entry.name}`;
    findings.violation(kind, `seed ${seed} session ${this.id} step ${this.#step}, ${who}: ${text}`);
  }

  /**
   * Sends, and waits for so many answers; errors other than `expected` are noted unless they are this session's own doing.
   * @throws Over if the session has ended
   */
  async ask(
    bytes: Buffer,
    {
      times = 1,
      until = 'Z',
      expected,
    }: { readonly times?: number; readonly until?: string; readonly expected?: string } = {},
  ): Promise<Answer> {
    const { findings } = this.run;
    const asked = this.cancelling > 0;
    const answer = await this.client.ask(bytes, until, times);
    findings.trial('answers');
    if (!this.pinned && this.#status === 'I' && answer.ready !== '') findings.checkouts += 1;
    if (answer.ready !== '') this.#status = answer.ready.slice(-1);
    this.#listened();
    let spoilt = false;
    for (const error of answer.errors) {
      // A statement whose Parse has failed is not there for the batches behind.
      if (error['C'] === expected || (spoilt && error['C'] === '26000')) continue;
      this.#judgeError(error, asked || this.cancelling > 0);
      spoilt = true;
    }
    this.#judgeEnd(answer);
    return answer;
  }

  /** Judges the row of a probe. */
  judge(probe: Probe, values: readonly (string | null)[] | undefined, tag: string): void {
    const { findings } = this.run;
    for (const kind of ['state', 'claims', 'settings', 'rows'] as const) {
      if (kind !== 'rows' || probe === full) findings.trial(kind);
    }
    const found = judge(probe, values ?? [], {
      person: this.person,
      tag,
      session: this.id,
      forged: this.forged,
      told: this.entry.claims,
    });
    for (const { kind, text } of found) this.violation(kind, text);
    if (found.some(({ kind }) => kind === 'answers')) return;
    for (const text of this.own.judge(rowOf(probe, values ?? []), this.id)) this.violation('settings', text);
  }

  /** The full probe now and then, the quick one otherwise; only that one for wreckers, who may lack the privileges. */
  probe(): Probe {
    return !this.person.wrecker && this.run.random.chance(this.entry.mode === 'session' ? 0.5 : 0.1)
      ? full
      : quick;
  }

  /** Errors that sessions of this kind meet for no fault of the gateway's. */
  excused({ C: code = '', M: text = '' }: Readonly<Record<string, string>>): boolean {
    if (this.entry.rough && ROUGH.test(code)) return true;
    return this.person.wrecker && WRECKED.test(code) && text !== BY_USER;
  }

  #judgeError(error: Readonly<Record<string, string>>, asked: boolean): void {
    const { C: code, M: text } = error;
    if (code === '57014' && text === BY_USER) {
      if (asked) this.run.findings.event('statements cancelled');
      // PostgreSQL says so, about once in a thousand times, of a time-out that expires as its statement ends.
      else if (this.person.wrecker)
        this.run.findings.event('time-outs of 2 ms that PostgreSQL calls cancels');
      else this.violation('cancels', 'a statement was cancelled that nobody asked to cancel');
      return;
    }
    if (this.excused(error)) return this.run.findings.event('excused errors');
    const kind = code === '57014' || code === '25006' ? 'state' : 'sessions';
    this.violation(kind, `${code} ${text}`);
  }

  #judgeEnd({ ended, lost, errors, trail }: Answer): void {
    if (lost) this.violation('answers', `no answer in time, so far ${trail}`);
    if (ended && !this.entry.rough) {
      const why = errors.map((error) => `${error['C']} ${error['M']}`).join();
      this.violation('sessions', `ended after ${trail}: ${why}`);
    }
    if (ended || lost) throw new Over();
  }

  #listened(): void {
    const { notified, unasked } = this.client;
    this.run.findings.trial('notifications');
    for (const channel of notified.splice(0)) {
      if (channel !== `left_${this.person.number}` && channel !== `hidden_${this.id}`)
        this.violation('notifications', channel);
      else this.run.findings.event('notifications heard');
    }
    for (const message of unasked.splice(0)) {
      const killed = this.entry.rough && /"C":"(08|57P)/.test(message);
      if (!killed) this.violation('answers', `${message} came and nobody had asked`);
    }
  }
}
