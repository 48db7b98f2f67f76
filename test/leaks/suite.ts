/** The run: workers that open session after session, harm all around, and the reckoning. */
import { setTimeout as sleep } from 'node:timers/promises';
import { cancelAndLeave, tryCancel } from './cancels.ts';
import { killWorkers } from './deaths.ts';
import { depart } from './departures.ts';
import { entries } from './entries.ts';
import type { Entry } from './entries.ts';
import { harm, hinder } from './faults.ts';
import { Findings } from './findings.ts';
import { OutstandingRequests } from './ledger.ts';
import { people } from './people.ts';
import type { Person } from './people.ts';
import { Random } from './random.ts';
import { reckon } from './reckoning.ts';
import { Over, Session } from './session.ts';
import type { Run } from './session.ts';
import { setStage } from './stage.ts';
import type { Stage } from './stage.ts';
import { step } from './steps.ts';
import { WireClient } from './wire-client.ts';

/** How much of it. */
export interface SuiteOptions {
  /** It ends after so many check-outs … */
  readonly checkouts: number;
  /** … or after so many seconds, whichever comes first. */
  readonly seconds: number;
  readonly seed: number;
  /** Only entries whose name begins so. Default: all. */
  readonly only?: string | undefined;
  /** Of the gateway. Default 1. */
  readonly workers?: number;
  /** Kills one of them so often, in milliseconds: then no session can rely on its connection. Default: never. */
  readonly killEveryMs?: number | undefined;
  /** It ends in order when this aborts. Default: never. */
  readonly signal?: AbortSignal;
  /** Told violations as they are found, and how far it is. */
  readonly tell: (line: string) => void;
}

/** What came of it. */
export interface SuiteResult {
  readonly findings: Findings;
  /** From the first login to the last. */
  readonly seconds: number;
}

/** Longest session in steps. */
const LONGEST = { session: 12, transaction: 400 };
/** How many sessions are those of wreckers. */
const WRECKERS = 0.04;
const TELL_MS = 30_000;

/** Runs it all. @throws Error if PostgreSQL or the gateway does not start */
export async function runSuite(options: SuiteOptions): Promise<SuiteResult> {
  const { seed, tell } = options;
  const random = new Random(seed);
  const stage = await setStage(random, options.workers);
  try {
    const findings = new Findings(tell);
    const suite = new Suite(options, stage, findings, random);
    const seconds = await suite.run();
    await reckon(suite);
    return { findings, seconds };
  } finally {
    await stage.stop();
  }
}

class Suite implements Run {
  readonly seed: number;
  readonly stage: Stage;
  readonly findings: Findings;
  readonly ledger = new OutstandingRequests();
  readonly copied = new OutstandingRequests();
  readonly random: Random;
  readonly #options: SuiteOptions;
  readonly #startedAt = Date.now();
  #toldAt = Date.now();
  #sessions = 0;

  constructor(options: SuiteOptions, stage: Stage, findings: Findings, random: Random) {
    this.seed = options.seed;
    this.stage = stage;
    this.findings = findings;
    this.random = random;
    this.#options = options;
  }

  get over(): boolean {
    const { checkouts, seconds, signal } = this.#options;
    return signal?.aborted === true || this.findings.checkouts >= checkouts || this.#elapsed >= seconds;
  }

  get #elapsed(): number {
    return (Date.now() - this.#startedAt) / 1000;
  }

  /** Resolves with its duration in seconds. */
  async run(): Promise<number> {
    const { only = '', killEveryMs } = this.#options;
    const chosen = entries
      .filter(({ name }) => name.startsWith(only))
      .map((entry) => (killEveryMs === undefined ? entry : { ...entry, rough: true }));
    const workers = chosen.flatMap((entry) => Array.from({ length: entry.workers }, () => this.#work(entry)));
    const deaths = killEveryMs === undefined ? [] : [killWorkers(this, killEveryMs)];
    await Promise.all([...workers, harm(this), hinder(this), ...deaths]);
    return this.#elapsed;
  }

  async #work(entry: Entry): Promise<void> {
    while (!this.over) {
      this.#tellProgress();
      if (entry.pause > 0) await sleep(this.random.below(entry.pause));
      const session = await this.#login(entry);
      if (!session) continue;
      try {
        await (entry.work === 'cancels' ? this.#cancels(session) : this.#person(session));
      } catch (error) {
        session.client.cut(true);
        if (!(error instanceof Over)) throw error;
      }
    }
  }

  async #login(entry: Entry): Promise<Session | undefined> {
    const { stage, findings } = this;
    const person = this.#whoever(entry);
    this.#sessions += 1;
    const id = this.#sessions;
    const { client, answer } = await WireClient.login(stage.port, {
      database: entry.name,
      token: stage.tokenOf(person),
    });
    const session = new Session({ run: this, entry, person, client, id });
    findings.trial('sessions');
    if (answer.ready === 'I') {
      findings.logins += 1;
      if (entry.mode === 'session') findings.checkouts += 1;
      return session;
    }
    if (!entry.rough) session.violation('sessions', `refused: ${JSON.stringify(answer.errors)}`);
    client.cut(true);
    // A server that was cut off is no reason to hammer on the gateway.
    await sleep(20);
    return undefined;
  }

  #whoever({ home, strangers, crowd, work }: Entry): Person {
    const { random } = this;
    if (random.chance(strangers)) return random.pick(people);
    const wrecker = work === 'people' && random.chance(WRECKERS);
    const role = `tenant_${home}`;
    const there = people.filter((one) => one.role === role && one.wrecker === wrecker);
    return random.pick(there.slice(0, crowd));
  }

  async #person(session: Session): Promise<void> {
    const { person } = session;
    const { mode } = session.entry;
    for (
      let left = 1 + this.random.below(person.wrecker ? 10 : LONGEST[mode]);
      left > 0 && !this.over;
      left -= 1
    ) {
      await step(session);
      // Whoever keeps a connection gives others little to do.
      if (mode === 'transaction' && session.pinned) left = Math.min(left, 3);
    }
    await depart(session);
  }

  async #cancels(session: Session): Promise<void> {
    for (let left = 1 + this.random.below(30); left > 0 && !this.over; left -= 1) await tryCancel(session);
    if (this.random.chance(0.5)) await cancelAndLeave(session);
    else await depart(session);
  }

  #tellProgress(): void {
    if (Date.now() - this.#toldAt < TELL_MS) return;
    this.#toldAt = Date.now();
    const { checkouts, logins, total } = this.findings;
    const rate = Math.round(checkouts / this.#elapsed);
    this.#options.tell(`${checkouts} check-outs (${rate}/s), ${logins} sessions, ${total} violations so far`);
  }
}
