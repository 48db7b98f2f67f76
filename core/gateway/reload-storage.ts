/** Values of plugins that outlive a reload: key sets, counters. */

/** Kept values by plugin and key. */
export class ReloadStorage {
  readonly #byPlugin = new Map<string, Map<string, unknown>>();

  /** The value kept under the key, made by `create` where there is none. */
  keep<T>(plugin: string, key: string, create: () => T): T {
    const values = this.#byPlugin.get(plugin) ?? new Map<string, unknown>();
    this.#byPlugin.set(plugin, values);
    if (!values.has(key)) values.set(key, create());
    return values.get(key) as T;
  }

  /** Forgets the values of every other plugin. */
  retain(plugins: ReadonlySet<string>): void {
    for (const plugin of this.#byPlugin.keys()) if (!plugins.has(plugin)) this.#byPlugin.delete(plugin);
  }
}
