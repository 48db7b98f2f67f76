/** What an operator's order is for one worker: other workers ask for it, and this one asks itself. */
import type { OpenSession } from '../connection/open-session.ts';
import { GatewayError } from '../contract/errors.ts';
import { abortable } from '../upstream/deadline.ts';
import type { Coordination } from '../workers/coordination.ts';
import { LATE } from '../workers/post-answers.ts';
import type { OperatorState } from './operator-state.ts';
import type { Pools } from './pools.ts';
import type { Suspension } from './suspension.ts';

/** What is done to. */
export interface WorkerOperationsParts {
  readonly coordination: Coordination;
  readonly pools: Pools;
  readonly sessions: ReadonlySet<OpenSession>;
  readonly suspension: Suspension;
  readonly state: OperatorState;
}

/** What may be waited for: no connection to what is paused, none that has to be replaced, nothing to be written. */
export type Awaited = 'emptied' | 'replaced' | 'flushed';

/** What another worker is asked to wait for. JSON has no undefined: the entry is absent for all of them. */
interface Wait {
  readonly what: Awaited;
  readonly entry?: string;
}

/** How long a worker that is asked waits before it says that it is not so yet, in milliseconds. */
const WAIT_MS = 400;

/** Questions to other workers. */
const WAIT = ':wait';
const RECONNECT = ':reconnect';
const KILL = ':kill';
const HAS_SESSION = ':has session';
const END_SESSION = ':end session';

const KILLED = new GatewayError('admin_shutdown', 'terminating connection due to administrator command');

/** One per gateway. */
export class WorkerOperations {
  readonly #parts: WorkerOperationsParts;

  constructor(parts: WorkerOperationsParts) {
    this.#parts = parts;
    const { post } = parts.coordination;
    post.answer(WAIT, (wait) => this.#isSo(wait as Wait));
    post.answer(RECONNECT, (entry) => parts.pools.reconnect((entry ?? undefined) as string | undefined));
    post.answer(KILL, (entry) => this.#kill(String(entry)));
    post.answer(HAS_SESSION, (id) => this.#session(String(id)) !== undefined);
    post.answer(END_SESSION, (id) => this.#session(String(id))?.end(KILLED));
  }

  /** Resolves when it is so in all workers. Rejects with the signal's reason. */
  async everywhere(what: Awaited, entry: string | undefined, signal: AbortSignal): Promise<void> {
    const others = this.#others({ what, ...(entry !== undefined && { entry }) }, signal);
    await Promise.all([this.#wait(what, entry, signal), others]);
  }

  /** Has every connection replaced once it is free. */
  async reconnect(entry: string | undefined): Promise<void> {
    await this.#parts.coordination.post.ask('all', RECONNECT, entry);
  }

  /** Ends all sessions of the entry. */
  async kill(entry: string): Promise<void> {
    await this.#parts.coordination.post.ask('all', KILL, entry);
  }

  /** The function that ends the session of this id, wherever it is; undefined where there is none. */
  async findSession(id: string): Promise<(() => Promise<void>) | undefined> {
    const own = this.#session(id);
    if (own) return async () => own.end(KILLED);
    const { post } = this.#parts.coordination;
    const answers = await post.ask('others', HAS_SESSION, id);
    const has = answers.find(({ body }) => body === true);
    return has && (async () => void (await post.ask(has.worker, END_SESSION, id)));
  }

  #session(id: string): OpenSession | undefined {
    return [...this.#parts.sessions].find((one) => one.id === id && !one.reason);
  }

  #kill(entry: string): void {
    for (const session of this.#parts.sessions) if (session.upstream?.entry === entry) session.end(KILLED);
  }

  async #wait(what: Awaited, entry: string | undefined, signal: AbortSignal): Promise<void> {
    const { pools, suspension, state } = this.#parts;
    if (what === 'replaced') return pools.replaced(entry, signal);
    return what === 'flushed' ? suspension.flushed(signal) : abortable(state.emptied(entry), signal);
  }

  #isSo({ what, entry }: Wait): Promise<boolean> {
    return this.#wait(what, entry, AbortSignal.timeout(WAIT_MS)).then(
      () => true,
      () => false,
    );
  }

  /** Again and again: a worker may begin meanwhile. One that has ended, or has not begun, has nothing to wait for. */
  async #others(wait: Wait, signal: AbortSignal): Promise<void> {
    const { post } = this.#parts.coordination;
    for (;;) {
      const answers = await abortable(post.ask('others', WAIT, wait), signal);
      if (answers.every(({ body, error }) => body === true || (error !== undefined && error !== LATE)))
        return;
    }
  }
}
