/** One instance's membership of its fleet. */
import { randomBytes } from 'node:crypto';
import { ConfigError } from '../contract/errors.ts';
import type {
  FleetAnswer,
  FleetAway,
  FleetInstance,
  FleetProof,
  InstanceRecipient,
} from '../contract/fleet.ts';
import type { Recipient } from '../contract/post.ts';
import type { Logger } from '../contract/session.ts';
import { ownVersion } from '../own-version.ts';
import type {
  FleetBoardCopy,
  FleetBoardHome,
  FleetMember,
  FleetPlace,
  FleetState,
  OwnReading,
} from '../workers/fleet-member.ts';
import type { ToldAnswer } from '../workers/messages.ts';
import type { Timers } from '../workers/timers.ts';
import { FleetBoard } from './board.ts';
import { Freshness } from './freshness.ts';
import { Heartbeat } from './heartbeat.ts';
import type { Asked } from './heartbeat.ts';
import { LimitsAway } from './limits-away.ts';
import { Locks } from './locks.ts';
import { LogReader } from './log-reader.ts';
import { inTime } from './parts.ts';
import type { MemberParts } from './parts.ts';
import { StorePlaces } from './places.ts';
import { proofOf } from './proof.ts';
import type { ProvenPlace } from './proof.ts';
import { Questions } from './questions.ts';
import type { Question } from './questions.ts';
import { Roster } from './roster.ts';
import { sealingOf } from './sealing.ts';
import type { Beat, FleetStore } from './store.ts';
import { Texts } from './texts.ts';

/** `fleet` of the config, as the member needs it. */
export interface FleetMemberOptions {
  readonly name: string;
  readonly instance: string;
  /** The text of the secret. */
  readonly secret: string;
  /** How long an instance lives after its last beat. Default 5 000. */
  readonly livesMs?: number;
  readonly staleMs: number;
  /** How long the store may take. */
  readonly timeoutMs: number;
  readonly away: FleetAway;
}

/** What a member is made of. */
export interface FleetMemberSetup {
  readonly store: FleetStore;
  readonly timers: Timers;
  readonly options: FleetMemberOptions;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  /** Milliseconds since the epoch. Default: of the machine. */
  readonly clock?: () => number;
  /** Default: random. */
  readonly id?: string;
}

/** Not begun: {@link FleetMember.start} does that. */
export function createFleetMember(setup: FleetMemberSetup): FleetMember {
  return new Member(setup);
}

/** How long the start waits for the first connection at least, in milliseconds. */
const CONNECT_MS = 2_000;
const NOT_ALIVE: ToldAnswer = { worker: 0, error: 'no such instance lives' };
/** The question of {@link FleetMember.proof}; no plugin's name begins like that. */
const REACHES = ':fleet/reaches';

class Member implements FleetMember {
  readonly hashKey: string;
  readonly #options: FleetMemberOptions;
  readonly #parts: MemberParts;
  readonly #boards = new Map<string, FleetBoard>();
  readonly #watching = new Set<(state: FleetState) => void>();
  readonly #roster: Roster;
  readonly #fresh: Freshness;
  readonly #heart: Heartbeat;
  readonly #reader: LogReader;
  readonly #limitsAway: LimitsAway;
  readonly #places: StorePlaces;
  readonly #questions: Questions;
  readonly #locks: Locks;
  readonly #since: number;
  #epoch: string | undefined;
  /** Whether it has once been able to read another instance, or was alone. */
  #joined = false;
  #read: () => OwnReading = () => ({ config: '', sessions: 0, workers: 1, draining: false, lagMs: 0 });
  #answer: Parameters<FleetMember['answersBy']>[0] = () => Promise.resolve([]);

  constructor(setup: FleetMemberSetup) {
    const {
      store,
      timers,
      options,
      log,
      clock = Date.now,
      id = randomBytes(9).toString('base64url'),
    } = setup;
    const { staleMs, timeoutMs, away, livesMs = 5_000 } = options;
    const sealing = sealingOf(options.secret, options.name);
    const texts = new Texts(sealing);
    this.hashKey = sealing.hash('of plugins', 'key');
    const parts: MemberParts = { id, store, texts, timers, clock, log, timeoutMs };
    this.#options = options;
    this.#parts = parts;
    this.#since = clock();
    this.#roster = new Roster({ ...parts, staleMs });
    this.#fresh = new Freshness({ timers, clock, staleMs, changed: () => this.#changed() });
    this.#heart = new Heartbeat({
      ...parts,
      livesMs,
      own: () => this.#own(),
      live: () => 1 + this.#roster.others.length,
      boards: () => [...this.#boards.keys()],
      positions: () => this.#positions(),
      heard: (beat, asked) => this.#heard(beat, asked),
      failed: () => {
        this.#places.fails();
        this.#reader.storeFails();
      },
    });
    this.#reader = new LogReader({
      ...parts,
      positions: () => this.#positions(),
      changes: (board, changes) => this.#boards.get(board)?.hear(changes),
      post: (text) => this.#questions.hear(text),
    });
    const isAway = (this.#limitsAway = new LimitsAway({ clock, changed: () => this.#changed() }));
    this.#places = new StorePlaces({
      ...parts,
      away: away.limits,
      isAway,
      revive: () => this.#heart.shared(),
    });
    this.#questions = new Questions({
      ...parts,
      answer: (question, withinMs) => this.#answerHere(question, withinMs),
      left: (id) => this.#roster.left(id),
    });
    this.#locks = new Locks(parts);
  }

  get timeoutMs(): number {
    return this.#parts.timeoutMs;
  }

  get state(): FleetState {
    const { name, instance, away } = this.#options;
    const { number, numbers, byNumber, others } = this.#roster;
    const { staleSince, isStale } = this.#fresh;
    const instances = [this.#own(), ...others];
    return {
      name,
      id: this.#parts.id,
      instance,
      number,
      numbers,
      byNumber,
      instances,
      staleSince,
      isStale,
      limitsAwaySince: this.#limitsAway.since,
      limitsAwayTimes: this.#limitsAway.times,
      away,
    };
  }

  watch(changed: (state: FleetState) => void): () => void {
    this.#watching.add(changed);
    return () => void this.#watching.delete(changed);
  }

  answersBy(
    answer: (to: Recipient, name: string, body: unknown, withinMs: number) => Promise<readonly ToldAnswer[]>,
  ): void {
    this.#answer = answer;
  }

  readsFrom(read: () => OwnReading): void {
    this.#read = read;
  }

  async start(): Promise<void> {
    const { store, timers, timeoutMs, log } = this.#parts;
    // One that rejects cannot even be tried, now or later: that is not a store that is away.
    const connecting = store.connect();
    connecting.catch((error: Error) =>
      log.warn({ reason: error.message }, 'the store of the fleet cannot be tried'),
    );
    // The first connection loads the client, reads a password, and greets by TLS: more than an answer takes.
    await inTime(timers, Math.max(timeoutMs, CONNECT_MS), connecting);
    await inTime(timers, timeoutMs, this.#heart.start());
    if (this.#roster.readsNobody)
      throw new ConfigError(`fleet.secret: the other instances of '${this.#options.name}' have another one`);
    void this.#reader.run();
  }

  async board(name: string, copy: FleetBoardCopy): Promise<FleetBoardHome> {
    if (this.#boards.has(name)) throw new Error(`the board '${name}' of the fleet is open already`);
    const { timers, timeoutMs } = this.#parts;
    const board = new FleetBoard(name, copy, {
      ...this.#parts,
      beat: () => this.#heart.beat(),
      wake: () => this.#questions.wake(),
    });
    this.#boards.set(name, board);
    await inTime(
      timers,
      timeoutMs,
      board.catchUp('gap').catch(() => undefined),
    );
    return board;
  }

  take(places: readonly FleetPlace[]): Promise<string | undefined> {
    return this.#places.take(places);
  }

  count(counts: readonly (readonly [key: string, mine: number])[]): void {
    this.#places.count(counts);
  }

  async ask(
    instances: InstanceRecipient,
    to: Recipient,
    name: string,
    body: unknown,
    withinMs: number,
  ): Promise<readonly FleetAnswer[]> {
    const question = { to, name, ...(body !== undefined && { body }) };
    const live = [this.#parts.id, ...this.#roster.others.map(({ id }) => id)];
    const asked = typeof instances === 'object' ? [instances.id] : instances === 'all' ? live : live.slice(1);
    const answers = asked.map(async (id) =>
      live.includes(id)
        ? await this.#questions.ask(id, question, withinMs)
        : [{ ...NOT_ALIVE, instance: id }],
    );
    return (await Promise.all(answers)).flat();
  }

  proof(board: string, withinMs: number): Promise<FleetProof> {
    return proofOf(board, withinMs, {
      timers: this.#parts.timers,
      board: this.#boards.get(board),
      beat: () => this.#heart.fresh(),
      own: this.#own(),
      others: () => [...this.#roster.others, ...this.#roster.unread],
      lost: () => this.#roster.lost(),
      reaches: async (id, place, within) => {
        const question: Question = { to: 'lead', name: REACHES, body: { board, ...place } };
        const answers = await this.#questions.ask(id, question, within);
        return answers.length > 0 && answers.every(({ error }) => error === undefined);
      },
    });
  }

  alone(task: string, run: () => void): () => void {
    return this.#locks.add(task, run);
  }

  async close(): Promise<void> {
    const { id, store, timers, timeoutMs } = this.#parts;
    this.#heart.close();
    this.#reader.close();
    this.#fresh.close();
    this.#limitsAway.close();
    this.#questions.close();
    const others = this.#roster.others.map((other) => other.id);
    const left = Promise.all([this.#locks.close(), this.#questions.leave(others), store.leave(id)]);
    await inTime(
      timers,
      timeoutMs,
      left.catch(() => undefined),
    );
    this.#places.close();
    store.close();
  }

  #own(): FleetInstance {
    const { instance } = this.#options;
    return { id: this.#parts.id, name: instance, version: ownVersion(), since: this.#since, ...this.#read() };
  }

  /** Up to where boards were read; without those that are read anew. */
  #positions(): Readonly<Record<string, number>> {
    return Object.fromEntries(
      [...this.#boards].flatMap(([name, { position }]) => (position === undefined ? [] : [[name, position]])),
    );
  }

  #heard(beat: Beat, asked: Asked): void {
    const anew = this.#epoch !== undefined && this.#epoch !== beat.epoch;
    this.#epoch = beat.epoch;
    this.#roster.hear(beat);
    this.#joined ||= !this.#roster.readsNobody;
    if (anew) this.#reader.beginAnew();
    this.#places.answers(beat.lived && !anew);
    void this.#locks.renew();
    void this.#follow(beat, asked, anew);
    this.#changed();
  }

  /** It knows as much as the store only once it has read the boards so far. */
  async #follow({ latest }: Beat, { asOf, positions }: Asked, anew: boolean): Promise<void> {
    const followed = [...this.#boards.values()].map(async (board) => {
      board.tellAgain();
      await (anew
        ? board.catchUp('lost')
        : board.follow(latest[board.name] ?? 0, positions[board.name] ?? 0));
    });
    const all = await Promise.allSettled(followed);
    // With another secret it reads nothing, and knows no revocation of the others; with a reading that fails it hears no questions.
    if (this.#joined && this.#reader.reads && all.every(({ status }) => status === 'fulfilled'))
      this.#fresh.confirm(asOf);
  }

  #changed(): void {
    if (this.#watching.size === 0) return;
    const { state } = this;
    for (const hear of this.#watching) hear(state);
  }

  /** @throws Error where the store has lost changes that the one who asks, or this one, does not know of: the place is of another log */
  async #reaches({ board, seq, epoch }: ProvenPlace & { readonly board: string }): Promise<void> {
    if (epoch !== this.#epoch) await this.#heart.fresh();
    if (epoch !== this.#epoch) throw new Error('the store of the fleet has another log');
    await this.#boards.get(board)?.reaches(seq);
    // What was read may have been of the log behind a loss.
    const beat = await this.#heart.fresh();
    if (beat.epoch !== epoch) throw new Error('the store of the fleet has lost changes');
  }

  async #answerHere({ to, name, body }: Question, withinMs: number): Promise<readonly ToldAnswer[]> {
    try {
      if (name !== REACHES) return await this.#answer(to, name, body, withinMs);
      await this.#reaches(body as ProvenPlace & { readonly board: string });
      return [{ worker: 0 }];
    } catch (error) {
      return [{ worker: 0, error: error instanceof Error ? error.message : 'unknown' }];
    }
  }
}
