/** Calls of what plugins brought: whose function is at work, which calls have not ended, and which kept everybody waiting. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { promiseHooks } from 'node:v8';
import { isPromise } from './settle.ts';

/** A function of a plugin. */
export interface PluginFunction {
  readonly plugin: string;
  /** What it is to the plugin: `onAuth`, `setup`, `checks.identity`, `route /metrics`. */
  readonly hook: string;
}

/** Hears how long a call kept the event loop from everything else, in milliseconds. */
export type Blocked = (by: PluginFunction, ms: number) => void;

/** A call that keeps the event loop for so long is told, in milliseconds. */
export const BLOCKED_MS = 100;
/** How long the promises of all are watched behind the last call that had not ended at once, in milliseconds. */
const LINGER_MS = 1_000;

/** Kept by all that a call begins: promises, timers, sockets. */
const atWork = new AsyncLocalStorage<PluginCall | undefined>();

/** The call that led to what runs now; undefined where no plugin did. */
export function pluginAtWork(): PluginCall | undefined {
  return atWork.getStore();
}

/** Begins something of the gateway's own within a call, such as a timer: what becomes of it is no plugin's doing. */
export function outsidePlugins<R>(begin: () => R): R {
  return atWork.run(undefined, begin);
}

/** Milliseconds of what runs now that calls inside of it have answered for. */
let inside = 0;

/** A function of a plugin, called as often as one likes. */
export class PluginCall implements PluginFunction {
  readonly plugin: string;
  readonly hook: string;
  readonly #calls: PluginCalls;

  constructor(calls: PluginCalls, plugin: string, hook: string) {
    this.#calls = calls;
    this.plugin = plugin;
    this.hook = hook;
  }

  /** Another function of the same plugin; `plugin`: of one of several, by their names. */
  as(hook: string, plugin = this.plugin): PluginCall {
    return new PluginCall(this.#calls, plugin, hook);
  }

  /** What it returns and throws is the function's own; what is like a promise comes as one, and is asked once. */
  run<A extends readonly unknown[], R>(work: (...args: A) => R, ...args: A): R {
    const since = performance.now();
    const outer = inside;
    inside = 0;
    try {
      const result = atWork.run(this, work, ...args);
      if (!isPromise(result)) return result;
      // A query builder runs its query each time it is asked for the result.
      const promise = result instanceof Promise ? result : atWork.run(this, () => Promise.resolve(result));
      this.#calls.wait(this, promise);
      return promise as R;
    } finally {
      this.took(performance.now() - since, outer);
    }
  }

  /** It had the event loop for `ms`; `outer`: what calls in front of it answered for. */
  took(ms: number, outer: number): void {
    if (ms - inside > BLOCKED_MS) this.#calls.blocked(this, ms - inside);
    inside = outer + ms;
  }
}

/** Those of one gateway. */
export class PluginCalls {
  readonly blocked: Blocked;
  readonly #waiting = new Map<string, number>();

  /** `blocked` is called for every call that took longer than {@link BLOCKED_MS}. Default: it is not called. */
  constructor(blocked: Blocked = () => {}) {
    this.blocked = blocked;
  }

  /** The calls of one function. */
  of(plugin: string, hook: string): PluginCall {
    return new PluginCall(this, plugin, hook);
  }

  /** Calls that have not ended, such as `audit onClose`, each once. */
  get unfinished(): readonly string[] {
    return [...this.#waiting.keys()];
  }

  /** For {@link PluginCall}: it answers later. */
  wait({ plugin, hook }: PluginFunction, answer: Promise<unknown>): void {
    const name = `${plugin} ${hook}`;
    this.#waiting.set(name, (this.#waiting.get(name) ?? 0) + 1);
    watchPromises();
    const over = (): void => {
      unwatchPromises();
      const left = (this.#waiting.get(name) ?? 1) - 1;
      if (left > 0) this.#waiting.set(name, left);
      else this.#waiting.delete(name);
    };
    answer.then(over, over);
  }
}

// ---- what a call does behind an await ----

let watched = 0;
let unwatch: (() => void) | undefined;
let soon: NodeJS.Timeout | undefined;

/** Every promise of the process pays for it: only while a plugin is waited for. */
function watchPromises(): void {
  watched += 1;
  if (unwatch) return;
  let call: PluginCall | undefined;
  let since = 0;
  const stops = [
    promiseHooks.onBefore(() => {
      call = atWork.getStore();
      if (!call) return;
      since = performance.now();
      inside = 0;
    }),
    promiseHooks.onAfter(() => {
      call?.took(performance.now() - since, 0);
      call = undefined;
    }),
  ];
  unwatch = () => {
    for (const stop of stops) (stop as () => void)();
  };
}

function unwatchPromises(): void {
  watched -= 1;
  if (watched > 0) return;
  soon ??= setTimeout(() => {
    soon = undefined;
    if (watched > 0) return;
    unwatch?.();
    unwatch = undefined;
  }, LINGER_MS).unref();
}
