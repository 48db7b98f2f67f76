/** An abort signal that plugins may listen to. An error that a listener throws cannot be caught: it is reported as the plugin's. */
import { pluginAtWork } from './plugin-calls.ts';
import type { PluginCall } from './plugin-calls.ts';

/** An AbortController, made when a plugin asks for its signal, and who has asked. */
export class PluginSignal {
  #abort: AbortController | undefined;
  #over: { readonly reason: unknown } | undefined;
  #asked: Map<string, PluginCall> | undefined;

  /** The same one for all. */
  get signal(): AbortSignal {
    const by = pluginAtWork();
    if (by) (this.#asked ??= new Map()).set(by.plugin, by);
    this.#abort ??= new AbortController();
    if (this.#over && !this.#abort.signal.aborted) this.#abort.abort(this.#over.reason);
    return this.#abort.signal;
  }

  /** Whether it is aborted: no plugin asks here. */
  get aborted(): boolean {
    return this.#over !== undefined;
  }

  abort(reason: unknown): void {
    this.#over ??= { reason };
    if (!this.#abort) return;
    const [first] = this.#asked?.values() ?? [];
    const abort = (): void => this.#abort?.abort(reason);
    if (!first) return abort();
    first.as('signal', [...(this.#asked?.keys() ?? [])].join(' or ')).run(abort);
  }
}
