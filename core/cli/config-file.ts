/** The config file of a running gateway: loaded at the start, and again at SIGHUP and when one of its files has changed. */
import { certificatesOf, modulesOf } from '../config/own-files.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { FileWatch } from '../config/watch.ts';
import type { Gateway } from '../gateway.ts';
import { loadConfig } from '../load.ts';

/** One config file and those it is made of. */
export class ConfigFile {
  readonly #path: string;
  readonly #files = new FileWatch();
  #certificates: readonly string[] = [];
  #gateway: Pick<Gateway, 'reload'> | undefined;
  #waiting = false;

  /** @param path absolute */
  constructor(path: string) {
    this.#path = path;
  }

  /** Looks at each file before it is read: what changes in between is a change. @throws ConfigError as loadConfig does */
  async load(): Promise<ResolvedConfig> {
    this.#waiting = false;
    await this.#follow();
    const config = await loadConfig(this.#path);
    this.#certificates = certificatesOf(config);
    await this.#follow();
    return config;
  }

  /** Reloads a started gateway at SIGHUP, and with `watch` when a file has changed, until `close`. Its log tells how it went. */
  feed(gateway: Pick<Gateway, 'reload'>, { watch }: { readonly watch: boolean }): void {
    this.#gateway = gateway;
    process.on('SIGHUP', this.#reload);
    if (watch) this.#files.start(this.#reload);
  }

  close(): void {
    process.off('SIGHUP', this.#reload);
    this.#files.close();
  }

  readonly #reload = (): void => {
    // One that has not begun to read yet will read what is new.
    if (this.#waiting) return;
    this.#waiting = true;
    this.#gateway
      ?.reload(() => this.load())
      .catch(() => {
        this.#waiting = false;
      });
  };

  #follow(): Promise<void> {
    return this.#files.follow([...modulesOf(this.#path), ...this.#certificates]);
  }
}
