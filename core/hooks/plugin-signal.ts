/** An abort signal that plugins may listen to. An error that a listener throws cannot be caught: it is reported as the plugin's. */
import { pluginAtWork } from './plugin-calls.ts';
import type { PluginCall } from './plugin-calls.ts';

/** One AbortController, and who has asked for its signal. */
export class PluginSignal {
  readonly #abort = new AbortController();
  #asked: Map<string, PluginCall> | undefined;

  /** The same one for all. */
  get signal(): AbortSignal {
    const by = pluginAtWork();
    if (by) (this.#asked ??= new Map()).set(by.plugin, by);
    return this.#abort.signal;
  }

  abort(reason: unknown): void {
    const [first] = this.#asked?.values() ?? [];
    const abort = (): void => this.#abort.abort(reason);
    if (!first) return abort();
    first.as('signal', [...(this.#asked?.keys() ?? [])].join(' or ')).run(abort);
  }
}
