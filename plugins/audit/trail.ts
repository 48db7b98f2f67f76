/** The audit trail between the events and the sink: bounded, in batches, each tried until it is written. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../core/index.ts';
import { Chain, NOTHING_BEFORE } from './chain.ts';
import type { SealedLines } from './chain.ts';
import { members } from './json.ts';
import type { Recorder } from './record.ts';
import { BusySink, RejectedLines } from './sink.ts';
import type { Worker } from './file-names.ts';
import type { Sink } from './sink.ts';

/** What a trail is made of. */
export interface TrailOptions {
  readonly sink: Sink;
  readonly key: string | undefined;
  /** Which of several workers writes it. Default: there is one. */
  readonly worker?: Worker | undefined;
  /** The name of the instance in its fleet. Default: there is none. */
  readonly instance?: string | undefined;
  /** Events that wait for the sink, in UTF-16 code units; what comes on top is dropped and counted. */
  readonly bufferUnits: number;
  readonly marks: Pick<Recorder, 'mark'>;
  readonly log: Logger;
}

/** Most events of one write. */
const BATCH = 4_096;
/** How long events are gathered, in milliseconds: nobody waits for them. */
const GATHER_MS = 10;
/** How long a sink may take for a write, before that is a failure, in milliseconds. */
const SLOW_MS = 10_000;
/** From one try of a sink that fails to the next, in milliseconds. */
const RETRY_MS = 500;
/** How long what waits may take to be written at the end, in milliseconds. */
const LAST_MS = 5_000;

interface Batch {
  readonly lines: SealedLines;
  written: boolean;
  /** It is the last one of its file. */
  readonly ends: boolean;
  /** As many lost events does its last line tell. */
  readonly told?: number;
}

/** One per sink. */
export class Trail {
  readonly #options: TrailOptions;
  readonly #failed = new Set<(problem: string) => void>();
  #chain: Chain | undefined;
  #waiting: string[] = [];
  #units = 0;
  #dropped = 0;
  #batch: Batch | undefined;
  #pumping: Promise<void> | undefined;
  #problem: string | undefined;
  #closing = false;
  readonly #hurry = new AbortController();
  #abandoned = false;

  constructor(options: TrailOptions) {
    this.#options = options;
  }

  /** Why the sink cannot be written now; undefined while it can. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** Hears when a sink begins to fail, until the function that is returned is called. */
  onFailure(hear: (problem: string) => void): () => void {
    this.#failed.add(hear);
    return () => void this.#failed.delete(hear);
  }

  /** @throws ConfigError, Error when the sink cannot be used */
  async open(): Promise<void> {
    const { sink, key } = this.#options;
    const { last = { n: 0, hash: NOTHING_BEFORE }, cut } = await sink.open();
    this.#chain = new Chain(last, key, this.#writer);
    await sink.write(this.#chain.seal([this.#opened('start', cut)]));
  }

  /** Takes an event, to be written a few milliseconds later: many in one write cost little more than one. */
  record(members: string): void {
    if (this.#abandoned) {
      this.#tellLost(1);
      return;
    }
    if (this.#units + members.length > this.#options.bufferUnits) {
      this.#dropped += 1;
      this.#fail('more events wait to be written than may');
      return;
    }
    this.#units += members.length;
    this.#waiting.push(members);
    if (!this.#pumping) this.#start();
  }

  /** Writes what waits, as far as the sink lets it within 5 s and until `late` is aborted, and closes it. Never rejects. */
  async close(late?: AbortSignal): Promise<void> {
    this.#closing = true;
    this.#hurry.abort();
    const aborted = new Promise((resolve) => late?.addEventListener('abort', resolve));
    await Promise.race([this.#drained(), sleep(LAST_MS, undefined, { ref: false }), aborted]);
    this.#abandoned = true;
    await Promise.race([this.#closeSink(), aborted]);
  }

  async #closeSink(): Promise<void> {
    const { sink, log, marks } = this.#options;
    try {
      const lost = this.#waiting.length + this.#dropped + (this.#batch?.lines.length ?? 0);
      if (lost > 0) this.#tellLost(lost);
      else if (this.#chain) await sink.write(this.#chain.seal([marks.mark('closed', { why: 'stop' })]));
      await sink.close();
    } catch (error) {
      log.error({ sink: sink.name, reason: textOf(error) }, 'the audit trail was not closed');
    }
  }

  async #drained(): Promise<void> {
    while (this.#pumping) await this.#pumping;
  }

  #start(): void {
    this.#pumping = sleep(this.#closing ? 0 : GATHER_MS).then(async () => {
      await this.#pump();
      this.#pumping = undefined;
      if (this.#waiting.length > 0 && !this.#abandoned) this.#start();
    });
  }

  /** Until so little waits that more may be gathered. Never rejects. */
  async #pump(): Promise<void> {
    while (!this.#abandoned) {
      this.#batch ??= this.#next();
      if (!this.#batch) return;
      const late = setTimeout(() => this.#fail('it takes too long'), SLOW_MS);
      try {
        await this.#write(this.#batch);
        this.#batch = undefined;
        this.#recovered();
        if (this.#waiting.length < BATCH && this.#dropped === 0) return;
      } catch (error) {
        this.#fail(textOf(error));
        if (error instanceof RejectedLines) this.#rejected(error.count);
        await this.#pause(error instanceof BusySink ? error.pauseMs : 0);
      } finally {
        clearTimeout(late);
      }
    }
  }

  /** Where the line that told of lost events is lost as well, it was none itself. */
  #rejected(count: number): void {
    const { lines, told = 0 } = this.#batch ?? {};
    this.#dropped += told > 0 && count === lines?.length ? told + count - 1 : count;
    this.#batch = undefined;
  }

  /** At the end nobody waits longer than needed. */
  async #pause(ms: number): Promise<void> {
    const { signal } = this.#hurry;
    const long = signal.aborted ? 0 : ms;
    const options = { ref: false, ...(signal.aborted ? {} : { signal }) };
    await sleep(Math.max(RETRY_MS, long), undefined, options).catch(() => undefined);
  }

  #tellLost(events: number): void {
    const { log, sink } = this.#options;
    log.error({ sink: sink.name, events }, 'audit events were lost');
  }

  async #write(batch: Batch): Promise<void> {
    const { sink } = this.#options;
    if (!batch.written) await sink.write(batch.lines);
    batch.written = true;
    if (!batch.ends) return;
    await sink.rotate?.();
    // In front of everything that waits.
    if (!this.#chain) return;
    this.#batch = { lines: this.#chain.seal([this.#opened('rotation')]), written: false, ends: false };
    await this.#write(this.#batch);
  }

  #next(): Batch | undefined {
    const chain = this.#chain;
    if (!chain || (this.#waiting.length === 0 && this.#dropped === 0)) return undefined;
    const { sink, marks } = this.#options;
    if (sink.full?.() === true) {
      return { lines: chain.seal([marks.mark('closed', { why: 'rotation' })]), written: false, ends: true };
    }
    const taken = this.#waiting.splice(0, this.#fitting());
    for (const members of taken) this.#units -= members.length;
    // They came when what stands before had filled the buffer.
    if (this.#dropped > 0 && this.#waiting.length === 0) {
      const told = this.#dropped;
      taken.push(marks.mark('dropped', { count: told }));
      this.#dropped = 0;
      return { lines: chain.seal(taken), written: false, ends: false, told };
    }
    return { lines: chain.seal(taken), written: false, ends: false };
  }

  /** How many of those that wait make one write. */
  #fitting(): number {
    const { most = BATCH, mostUnits = Infinity } = this.#options.sink;
    const count = Math.min(BATCH, most, this.#waiting.length);
    let units = 0;
    for (let i = 0; i < count; i += 1) {
      units += this.#waiting[i]?.length ?? 0;
      if (units > mostUnits) return Math.max(1, i);
    }
    return count;
  }

  /** Who writes it, in each line. */
  get #writer(): string {
    const { worker, instance } = this.#options;
    const who = members({ worker: worker?.number, instance });
    return who && `,${who}`;
  }

  #opened(why: string, cut?: number): string {
    const { key, marks, worker } = this.#options;
    const previous = this.#chain?.last.hash ?? NOTHING_BEFORE;
    const more = { why, previous, keyed: key !== undefined, cut, workers: worker?.of };
    return marks.mark('opened', more);
  }

  #fail(problem: string): void {
    if (this.#problem !== undefined) return;
    this.#problem = problem;
    const { log, sink } = this.#options;
    log.error({ sink: sink.name, reason: problem }, 'the audit trail cannot be written');
    for (const hear of this.#failed) hear(problem);
  }

  #recovered(): void {
    if (this.#problem === undefined || this.#dropped > 0) return;
    this.#problem = undefined;
    this.#options.log.info({ sink: this.#options.sink.name }, 'the audit trail is written again');
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
