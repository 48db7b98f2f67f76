/** The processes of the workers: begun, begun again when they die, ended when they hang, and ended together. */
import type { ChildProcess } from 'node:child_process';
import type { FromParent, FromWorker } from '../messages.ts';
import type { Workers } from './workers.ts';

/** What hears of the workers. */
export interface ProcessesParts {
  readonly count: number;
  /** Begins a process for the worker of this number. */
  readonly fork: (worker: number) => ChildProcess;
  /** Where those that have begun, are ready, and have ended are known. */
  readonly workers: Workers;
  readonly begun: (worker: number) => void;
  readonly heard: (worker: number, message: FromWorker) => void;
  /** `died`: not because it was told to end. */
  readonly gone: (worker: number, how: { readonly died: boolean; readonly wasReady: boolean }) => void;
  readonly log: {
    info: (fields: object, text: string) => void;
    warn: (fields: object, text: string) => void;
    error: (fields: object, text: string) => void;
  };
}

interface Worker {
  readonly child: ChildProcess;
  /** How many looks have found no message from it since the last one. */
  silentLooks: number;
  /** Messages that the channel has not taken, the oldest first. */
  readonly pending: FromParent[];
  /** How many looks have found some, and none taken since the last one. */
  stuckLooks: number;
  reason: string | undefined;
  /** It has heard that it is to end. */
  ending: boolean;
  /** It is to end alone: its successor begins then. */
  retires: boolean;
}

/** How long a worker may be silent before it is killed, once it was ready and before, and how often that is looked at, in milliseconds. */
const [SILENT_MS, LOADING_MS, LOOK_MS] = [10_000, 60_000, 500];
/** Messages that may wait for a worker, and characters of them for one that does not read. */
const [MOST_PENDING, MOST_CHARACTERS] = [10_000, 1024 * 1024];
/** So many looks without a message taken: it does not read. */
const STUCK_LOOKS = 4;
/** How long the channel of a process that has ended may still have messages, in milliseconds. */
const LAST_WORDS_MS = 500;
/** Deaths before any worker was ready. */
const MOST_FAILURES = 3;
/** The first and the longest pause before a worker that died again is begun again, and when its deaths are forgotten, in milliseconds. */
const [FIRST_MS, LONGEST_MS, FORGOTTEN_MS] = [100, 10_000, 60_000];

/** One per parent. */
export class Processes {
  readonly #parts: ProcessesParts;
  readonly #workers = new Map<number, Worker>();
  readonly #deaths = new Map<number, number[]>();
  readonly #restarts = new Map<number, NodeJS.Timeout>();
  #looking: NodeJS.Timeout | undefined;
  #everReady = false;
  #failures = 0;
  #ending = false;
  #isWell = true;
  #started: { readonly resolve: () => void; readonly reject: (error: Error) => void } | undefined;
  #over: () => void = () => {};
  /** Resolves when all have ended after {@link end}, or none could begin. */
  readonly over = new Promise<void>((resolve) => (this.#over = resolve));

  constructor(parts: ProcessesParts) {
    this.#parts = parts;
  }

  /** Whether all of them have ended in order: one that died before it heard that it is to end was not to blame for the end. */
  get isWell(): boolean {
    return this.#isWell;
  }

  /** Whether they have been told to end. */
  get isEnding(): boolean {
    return this.#ending;
  }

  /** Resolves when the first one is ready. @throws Error with the reason, where three have ended before */
  start(): Promise<void> {
    // Told to end while the parent opened its sockets.
    if (this.#ending) return this.over;
    const started = new Promise<void>((resolve, reject) => (this.#started = { resolve, reject }));
    for (let worker = 1; worker <= this.#parts.count; worker += 1) this.#begin(worker);
    this.#looking = setInterval(() => this.#look(), LOOK_MS);
    return started;
  }

  /** None is begun any more: they have been told to end, each in its way. */
  end(): void {
    this.#ending = true;
    for (const timer of this.#restarts.values()) clearTimeout(timer);
    this.#restarts.clear();
    this.#lookOver();
  }

  /** The worker is told to end: another process takes its place. */
  retire(number: number): void {
    const worker = this.#workers.get(number);
    if (worker) worker.retires = true;
  }

  /** Ends one that has not ended in time. */
  killLate(number: number): void {
    const worker = this.#workers.get(number);
    if (!worker) return;
    this.#parts.log.error({ worker: number }, 'a worker has not ended in time: it is killed');
    this.#kill(worker);
  }

  /** Ends those that are still there. */
  kill(): void {
    for (const worker of this.#workers.values()) this.#kill(worker);
  }

  #begin(number: number): void {
    this.#restarts.delete(number);
    const child = this.#parts.fork(number);
    const worker: Worker = {
      child,
      silentLooks: 0,
      pending: [],
      stuckLooks: 0,
      reason: undefined,
      ending: false,
      retires: false,
    };
    this.#workers.set(number, worker);
    child.on('message', (message) => this.#heard(number, worker, message as FromWorker));
    child.on('error', (error) => (worker.reason ??= error.message));
    child.once('close', (code, signal) =>
      afterLastWords(child, () => this.#closed(number, worker, code, signal)),
    );
    this.#parts.workers.joined(number, {
      send: (message, handle) => this.#send(number, worker, message, handle),
    });
    this.#parts.begun(number);
  }

  #heard(number: number, worker: Worker, message: FromWorker): void {
    // Its last words came when it had been given up already: its successor has the number.
    if (this.#workers.get(number) !== worker) return;
    worker.silentLooks = 0;
    if (message.t === 'failed') worker.reason = message.reason;
    if (message.t === 'ending') worker.ending = true;
    if (message.t === 'ready') this.#ready(number, worker);
    this.#parts.heard(number, message);
  }

  #ready(number: number, { child }: Worker): void {
    this.#everReady = true;
    this.#parts.log.info({ worker: number, pid: child.pid }, 'worker ready');
    this.#parts.workers.ready(number);
    this.#started?.resolve();
  }

  #send(number: number, worker: Worker, message: FromParent, handle?: object): void {
    if (!worker.child.connected) return;
    worker.pending.push(message);
    const taken = (): void => {
      worker.pending.shift();
      worker.stuckLooks = 0;
    };
    // The parent closes a handle itself, once the worker has it.
    worker.child.send(message, handle as never, { keepOpen: true }, taken);
    if (worker.pending.length > MOST_PENDING) this.#killUnread(number, worker);
  }

  #closed(number: number, worker: Worker, code: number | null, signal: string | null): void {
    if (this.#workers.get(number) !== worker) return;
    this.#workers.delete(number);
    // By SIGTERM a worker ends itself where one of its threads does not end.
    const inOrder = (this.#ending || worker.retires) && (code === 0 || signal === 'SIGTERM');
    // It may have died just before all were told to end: that is a death as any other.
    const failedToEnd = !inOrder && worker.ending && this.#ending;
    const died = !inOrder && !failedToEnd;
    if (failedToEnd) this.#isWell = false;
    const { workers, gone } = this.#parts;
    const wasReady = workers.isReady(number);
    workers.left(number);
    gone(number, { died, wasReady });
    if (!inOrder)
      this.#parts.log.error({ worker: number, ...endOf(worker, code, signal) }, 'a worker has ended');
    if (died) this.#died(number, wasReady, worker.reason);
    else if (!this.#ending) this.#begin(number);
    this.#lookOver();
  }

  #died(number: number, wasReady: boolean, reason: string | undefined): void {
    if (this.#ending) return;
    if (!this.#everReady) this.#failures += 1;
    if (this.#failures >= Math.min(MOST_FAILURES, this.#parts.count) && !this.#everReady) {
      this.#started?.reject(new Error(reason ?? 'no worker could start: each ended before it was ready'));
      this.end();
      return this.kill();
    }
    const now = performance.now();
    const deaths = (this.#deaths.get(number) ?? []).filter((at) => now - at <= FORGOTTEN_MS);
    this.#deaths.set(number, [...deaths, now]);
    const ms = deaths.length === 0 && wasReady ? 0 : Math.min(FIRST_MS * 2 ** deaths.length, LONGEST_MS);
    this.#restarts.set(
      number,
      setTimeout(() => this.#begin(number), ms),
    );
  }

  /** Looks are counted, and not the time: after this process itself has stood still, the messages that waited are read before the next look. */
  #look(): void {
    const { workers, log } = this.#parts;
    for (const [number, worker] of this.#workers) {
      worker.silentLooks += 1;
      worker.stuckLooks += worker.pending.length > 0 ? 1 : 0;
      // The first is on its way, and may be as large, as an answer about thousands of sessions is.
      if (worker.stuckLooks >= STUCK_LOOKS && charactersOf(worker.pending.slice(1)) > MOST_CHARACTERS) {
        this.#killUnread(number, worker);
        continue;
      }
      // Loading a config may keep its event loop busy.
      if (worker.silentLooks * LOOK_MS <= (workers.isReady(number) ? SILENT_MS : LOADING_MS)) continue;
      log.error({ worker: number }, 'a worker gives no sign of life: it is killed');
      this.#kill(worker);
    }
  }

  #killUnread(number: number, worker: Worker): void {
    this.#parts.log.error({ worker: number }, 'a worker does not read its messages: it is killed');
    this.#kill(worker);
  }

  #kill({ child }: Worker): void {
    if (this.#ending) this.#isWell = false;
    child.kill('SIGKILL');
  }

  #lookOver(): void {
    if (!this.#ending || this.#workers.size > 0) return;
    clearInterval(this.#looking);
    this.#over();
  }
}

/** As the log tells it. */
const endOf = (
  { reason }: Worker,
  code: number | null,
  signal: string | null,
): { readonly reason?: string } => ({
  ...(code !== null && { code }),
  ...(signal !== null && { signal }),
  ...(reason !== undefined && { reason }),
});

const charactersOf = (messages: readonly FromParent[]): number =>
  messages.reduce((sum, message) => sum + JSON.stringify(message).length, 0);

/** The system may tell of the end of a process before what it has said last, such as why it ends, has been read. */
function afterLastWords(child: ChildProcess, then: () => void): void {
  if (!child.connected) return then();
  const done = (): void => {
    clearTimeout(timer);
    child.off('disconnect', done);
    then();
  };
  const timer = setTimeout(done, LAST_WORDS_MS);
  child.once('disconnect', done);
}
