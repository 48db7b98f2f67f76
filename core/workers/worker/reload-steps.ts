/** The steps of a reload as a worker takes them: it prepares a config when the parent says so, and puts it in force or drops it. */
import type { FromWorker, ReloadTold } from '../messages.ts';

/** A config that a worker has prepared. */
export interface PreparedSteps {
  /** Of all files that it was loaded from. */
  readonly digest: string;
  /** For the log: what is new in it. */
  readonly changes: object;
  /** Nothing can fail. */
  commit(): void;
  /** Never rejects. */
  abort(): Promise<void>;
}

/** What a worker reloads by. */
export interface Reloadable {
  /** Leaves nothing where it rejects. @throws FilesChanged where its files changed while they were read */
  prepare(calledOff: AbortSignal): Promise<PreparedSteps>;
  /** The reload has failed, here or in another worker. */
  failed(): void;
}

/** The files of a config are not those any more that it was loaded from. */
export class FilesChanged extends Error {
  constructor() {
    super('files of the config have changed while they were read');
  }
}

interface Step {
  readonly generation: number;
  readonly calledOff: AbortController;
  prepared?: PreparedSteps;
}

/** One per worker. */
export class ReloadSteps {
  readonly #send: (message: FromWorker) => void;
  #reloadable: Reloadable | undefined;
  #step: Step | undefined;
  #generation: number | undefined;
  #serves: () => void = () => {};
  readonly #serving = new Promise<void>((resolve) => (this.#serves = resolve));

  constructor(send: (message: FromWorker) => void) {
    this.#send = send;
  }

  /** The config that it serves under. Undefined: it does not serve. */
  get generation(): number | undefined {
    return this.#generation;
  }

  /** A config of this digest is loaded. Resolves when this worker may serve: the others have the same. */
  loaded(digest: string, reloadable: Reloadable): Promise<void> {
    this.#reloadable = reloadable;
    this.#send({ t: 'loaded', digest });
    return this.#serving;
  }

  hear(message: ReloadTold): void {
    switch (message.t) {
      case 'prepare':
        return void this.#prepare(message.generation);
      case 'commit':
        return this.#commit(message.generation);
      case 'abort':
        return this.#abort(message);
      case 'serve':
        return this.#serve(message.generation);
    }
  }

  /** Gives up what it prepares. */
  close(error: Error): void {
    this.#step?.calledOff.abort(error);
  }

  async #prepare(generation: number): Promise<void> {
    const step: Step = { generation, calledOff: new AbortController() };
    const { signal } = step.calledOff;
    this.#step = step;
    try {
      if (!this.#reloadable) throw new Error('the worker has no config to reload');
      const prepared = await this.#reloadable.prepare(signal);
      if (signal.aborted) return await prepared.abort();
      step.prepared = prepared;
      const { digest, changes } = prepared;
      this.#send({ t: 'prepared', generation, digest, changes });
    } catch (error) {
      if (signal.aborted) return;
      const reason = error instanceof Error ? error.message : 'unknown';
      this.#send({ t: 'unprepared', generation, reason, changed: error instanceof FilesChanged });
    }
  }

  #commit(generation: number): void {
    const step = this.#take(generation);
    if (step?.prepared) {
      step.prepared.commit();
      this.#serve(generation);
    }
    this.#send({ t: 'committed', generation });
  }

  #abort({ generation, failed }: Extract<ReloadTold, { readonly t: 'abort' }>): void {
    const step = this.#take(generation);
    step?.calledOff.abort(new Error('the reload was aborted'));
    void step?.prepared?.abort();
    if (failed) this.#reloadable?.failed();
  }

  #take(generation: number): Step | undefined {
    const step = this.#step?.generation === generation ? this.#step : undefined;
    if (step) this.#step = undefined;
    return step;
  }

  #serve(generation: number): void {
    this.#generation = generation;
    this.#serves();
  }
}
