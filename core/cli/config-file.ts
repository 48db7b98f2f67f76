/** The config file of a running gateway: loaded at the start, and again at SIGHUP and when one of its files has changed. */
import { certificatesOf, digestOf, modulesOf } from '../config/own-files.ts';
import type { ResolvedConfig } from '../config/resolved.ts';
import { FileWatch } from '../config/watch.ts';
import type { Gateway } from '../gateway.ts';
import { loadConfig } from '../load.ts';
import { FilesChanged } from '../workers/worker/reload-steps.ts';

/** A config with the files it was loaded from. */
export interface LoadedFiles {
  readonly config: ResolvedConfig;
  /** Of the modules and certificates. What is read anew at each use, as secrets in files are, does not count. */
  readonly digest: string;
  /** Whether they are now as they were. */
  isCurrent(): boolean;
}

/** One config file and those it is made of. */
export class ConfigFile {
  /** Absolute. */
  readonly path: string;
  readonly #files = new FileWatch();
  #certificates: readonly string[] = [];
  readonly #digests = new WeakMap<ResolvedConfig, string>();
  #gateway: Pick<Gateway, 'reload'> | undefined;
  #waiting = false;

  /** @param path absolute */
  constructor(path: string) {
    this.path = path;
  }

  /** Looks at each file before it is read: what changes in between is a change. @throws ConfigError as loadConfig does */
  async load(): Promise<ResolvedConfig> {
    this.#waiting = false;
    await this.#follow();
    const config = await loadConfig(this.path);
    this.#certificates = certificatesOf(config);
    await this.#follow();
    this.#digests.set(config, digestOf([...modulesOf(this.path), ...this.#certificates]));
    return config;
  }

  /** Of the modules and certificates that a config was loaded from here; empty for another one. */
  digestOf(config: ResolvedConfig): string {
    return this.#digests.get(config) ?? '';
  }

  /** As {@link load}, for workers, which all load it and must agree. @throws FilesChanged as well */
  async loadFiles(): Promise<LoadedFiles> {
    const before = digestOf(modulesOf(this.path));
    const config = await this.load();
    const modules = modulesOf(this.path);
    if (digestOf(modules) !== before) throw new FilesChanged();
    const files = [...modules, ...this.#certificates];
    const digest = digestOf(files);
    return { config, digest, isCurrent: () => digestOf(files) === digest };
  }

  /** Reloads a started gateway at SIGHUP, and with `watch` when a file has changed, until `close`. Its log tells how it went. */
  feed(gateway: Pick<Gateway, 'reload'>, { watch }: { readonly watch: boolean }): void {
    process.on('SIGHUP', this.#reload);
    this.#gateway = gateway;
    if (watch) this.watch(gateway);
  }

  /** Reloads it when a file has changed, until `close`. */
  watch(gateway: Pick<Gateway, 'reload'>): void {
    this.#gateway = gateway;
    this.#files.start(this.#reload);
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
    return this.#files.follow([...modulesOf(this.path), ...this.#certificates]);
  }
}
