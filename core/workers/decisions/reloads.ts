/** Reloads of all workers in two steps: each prepares the new config, then all put it in force, or none does. */
import type { ReloadBy, ReloadRequest, ReloadTold } from '../messages.ts';
import type { Timers } from '../timers.ts';

/** What reloads are made with. */
export interface ReloadsParts {
  readonly tell: (worker: number, message: ReloadTold) => void;
  readonly after: Timers['after'];
  readonly log: {
    info: (fields: object, text: string) => void;
    error: (fields: object, text: string) => void;
  };
}

/** A worker that has loaded a config. */
interface Member {
  readonly digest: string;
  /** Of the config that it serves under. Undefined: it has loaded another one than that in force, and does not serve. */
  readonly generation: number | undefined;
  /** It does not serve, and no reload has tried to change that. */
  readonly isNew: boolean;
}

interface InForce {
  readonly generation: number;
  readonly digest: string;
}

type Prepared = Extract<ReloadRequest, { readonly t: 'prepared' }>;

/** What is wanted of a reload. */
interface Wanted {
  readonly waiters: readonly Waiter[];
  /** An operator has asked: it is told of although nothing is new. */
  readonly isOrder: boolean;
}

interface Running extends Wanted {
  readonly generation: number;
  readonly isLast: boolean;
  /** Those that prepare it, with what they have said so far. */
  readonly asked: Map<number, Prepared | undefined>;
  readonly stopTimer: () => void;
  /** Once all have prepared it: those in which it is not in force yet, and the line that says that it is. */
  committing?: { readonly workers: Set<number>; readonly tell: () => void };
}

/** Hears how a reload went: with the reason where it failed. */
type Waiter = (reason: string | undefined) => void;

/** How long workers may take to prepare a config, in milliseconds. */
export const PREPARE_MS = 60_000;
/** How long after a failed reload it is tried again for workers that do not serve for want of it, in milliseconds. */
export const AGAIN_MS = 10_000;

const CHANGED = 'files of the config have changed while the workers were reading them';
/** By no one but workers that do not serve. */
const BY_WORKERS: Wanted = { waiters: [], isOrder: false };
const STOPPING = 'the gateway is stopping';

/** One per parent. It knows configs by their digests only. */
export class Reloads {
  readonly #parts: ReloadsParts;
  readonly #members = new Map<number, Member>();
  #inForce: InForce | undefined;
  /** Of the last reload that was begun: an aborted one has had its number. */
  #generation = 0;
  #running: Running | undefined;
  /** Those that have asked since the running one began: the next one is theirs. Undefined: none is wanted. */
  #next: Wanted | undefined;
  #stopRetry: (() => void) | undefined;
  #isOver = false;

  constructor(parts: ReloadsParts) {
    this.#parts = parts;
  }

  /** Of the files of the config in force; empty where there is none yet. */
  get digest(): string {
    return this.#inForce?.digest ?? '';
  }

  /** Has every worker load its config anew: one reload after the other. @throws Error with the reason where none has come into force */
  reload(by: ReloadBy = 'operator'): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = (reason) => (reason === undefined ? resolve() : reject(new Error(reason)));
      this.#want({ waiters: [waiter], isOrder: by === 'operator' });
    });
  }

  hear(worker: number, message: ReloadRequest): void {
    if (message.t === 'loaded') return this.#loaded(worker, message.digest);
    const running = this.#running;
    if (running?.generation !== message.generation || !running.asked.has(worker)) return;
    if (message.t === 'committed') return this.#committed(running, worker);
    if (message.t === 'unprepared') return this.#abort(message.reason, message.changed);
    running.asked.set(worker, message);
    this.#decide(running, message.digest);
  }

  /** It has ended: what it was to prepare is aborted, and tried again once. */
  left(worker: number): void {
    this.#members.delete(worker);
    const running = this.#running;
    if (running?.committing) this.#committed(running, worker);
    else if (running?.asked.delete(worker)) this.#abort(`worker ${worker} has ended`, true);
    this.#settle();
  }

  /** Nothing is reloaded any more: workers that drain or stop refuse it anyway. */
  close(): void {
    this.#isOver = true;
    const waiters = [...(this.#running?.waiters ?? []), ...(this.#next?.waiters ?? [])];
    this.#running?.stopTimer();
    this.#stopRetry?.();
    this.#running = this.#next = undefined;
    for (const told of waiters) told(STOPPING);
  }

  #want({ waiters, isOrder }: Wanted): void {
    if (this.#isOver) return waiters.forEach((told) => told(STOPPING));
    const next = this.#next ?? BY_WORKERS;
    this.#next = { waiters: [...next.waiters, ...waiters], isOrder: next.isOrder || isOrder };
    this.#goOn();
  }

  #goOn(): void {
    // With no worker there it waits for the first: that may have read the files before they were changed.
    if (this.#running || !this.#next || this.#members.size === 0) return;
    const wanted = this.#next;
    this.#next = undefined;
    this.#begin(wanted, false);
  }

  #begin({ waiters, isOrder }: Wanted, isLast: boolean): void {
    const generation = (this.#generation += 1);
    const asked = new Map([...this.#members.keys()].map((worker) => [worker, undefined]));
    for (const [worker, member] of this.#members) this.#members.set(worker, { ...member, isNew: false });
    const stopTimer = this.#parts.after(PREPARE_MS, () => this.#tooSlow());
    this.#running = { generation, isLast, waiters, isOrder, asked, stopTimer };
    for (const worker of asked.keys()) this.#parts.tell(worker, { t: 'prepare', generation });
  }

  #loaded(worker: number, digest: string): void {
    this.#members.set(worker, { digest, generation: undefined, isNew: true });
    this.#settle();
    this.#goOn();
  }

  /** A worker serves if it has the config in force; else all reload, and it serves when they have. */
  #settle(): void {
    if (this.#running || this.#isOver || this.#waiting.length === 0) return;
    if (this.#waiting.length === this.#members.size) this.#agree();
    const inForce = this.#inForce;
    for (const [worker, { digest }] of this.#waiting)
      if (digest === inForce?.digest) this.#serve(worker, inForce);
    if (this.#waiting.some(([, { isNew }]) => isNew)) this.#want(BY_WORKERS);
  }

  /** Nobody serves under an older config: that of the first is in force. */
  #agree(): void {
    const [first] = this.#waiting;
    if (first) this.#inForce = { generation: (this.#generation += 1), digest: first[1].digest };
    for (const [worker, member] of this.#waiting) this.#members.set(worker, { ...member, isNew: true });
  }

  /** Those that do not serve. */
  get #waiting(): readonly (readonly [worker: number, member: Member])[] {
    return [...this.#members].filter(([, { generation }]) => generation === undefined);
  }

  #serve(worker: number, { generation, digest }: InForce): void {
    this.#members.set(worker, { digest, generation, isNew: false });
    this.#parts.tell(worker, { t: 'serve', generation });
  }

  #decide(running: Running, digest: string): void {
    const said = [...running.asked.values()];
    if (said.includes(undefined)) return;
    if (said.every((one) => one?.digest === digest)) this.#commit(running, digest);
    else this.#abort(CHANGED, true);
  }

  #commit(running: Running, digest: string): void {
    const { generation, asked } = running;
    const changes = this.#changesOf(running);
    const isNews = running.isOrder || digest !== this.#inForce?.digest;
    this.#inForce = { generation, digest };
    running.stopTimer();
    running.committing = {
      workers: new Set(asked.keys()),
      tell: () => isNews && this.#parts.log.info({ ...changes, generation }, 'reloaded'),
    };
    for (const worker of asked.keys()) {
      this.#members.set(worker, { generation, digest, isNew: false });
      this.#parts.tell(worker, { t: 'commit', generation });
    }
  }

  /** Whoever waits for a reload meets the new config in every worker then. One that hangs is killed, which ends the wait for it. */
  #committed(running: Running, worker: number): void {
    const { committing } = running;
    if (!committing?.workers.delete(worker) || committing.workers.size > 0) return;
    committing.tell();
    this.#finish(running, undefined);
  }

  /** As one sees them that has served: the successor of a dead worker may have loaded them at its begin. */
  #changesOf({ asked }: Running): object {
    const [first] = [...asked].sort(
      ([a], [b]) => Number(this.#hasServed(b)) - Number(this.#hasServed(a)) || a - b,
    );
    return first?.[1]?.changes ?? {};
  }

  #hasServed(worker: number): boolean {
    return this.#members.get(worker)?.generation !== undefined;
  }

  #tooSlow(): void {
    const asked = [...(this.#running?.asked ?? [])];
    const late = asked.flatMap(([worker, said]) => (said ? [] : [worker]));
    const who = late.length === 1 ? `worker ${late[0]} has` : `workers ${late.join(', ')} have`;
    this.#abort(`${who} not prepared the config within ${PREPARE_MS / 1_000} s`, false);
  }

  #abort(reason: string, again: boolean): void {
    const running = this.#running;
    if (!running) return;
    running.stopTimer();
    const { generation, asked, isLast } = running;
    const goesOn = again && !isLast && this.#members.size > 0;
    for (const worker of asked.keys()) this.#parts.tell(worker, { t: 'abort', generation, failed: !goesOn });
    if (goesOn) return this.#begin(running, true);
    this.#parts.log.error({ reason }, 'reload failed');
    this.#finish(running, reason);
  }

  #finish({ stopTimer, waiters }: Running, reason: string | undefined): void {
    stopTimer();
    this.#running = undefined;
    for (const told of waiters) told(reason);
    // Those that came meanwhile.
    this.#settle();
    this.#goOn();
    if (this.#waiting.length > 0 && !this.#running) this.#tryLater();
  }

  #tryLater(): void {
    this.#stopRetry ??= this.#parts.after(AGAIN_MS, () => {
      this.#stopRetry = undefined;
      if (this.#waiting.length > 0) this.#want(BY_WORKERS);
    });
  }
}
