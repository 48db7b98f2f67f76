/** A folder as the kubelet mounts a ConfigMap or a Secret, and as it replaces all its files in one step. */
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Each file is a link to `..data/<name>`, and `..data` a link to a folder that is named by the time. A change is a new folder, to
 * which `..data` is moved by rename(2); then the old folder is removed. So no file that the gateway named has ever changed itself.
 */
export class KubernetesMount {
  /** Where it is mounted. */
  readonly path = mkdtempSync(join(tmpdir(), 'postern-mount-'));
  #version = 0;
  #names: readonly string[] = [];

  constructor(files: Readonly<Record<string, string>>) {
    this.replace(files);
  }

  /** The path of one file. */
  file(name: string): string {
    return join(this.path, name);
  }

  /** The ConfigMap or Secret has these files now, and no others. */
  replace(files: Readonly<Record<string, string>>): void {
    const [old, fresh] = [`..2026_11_30_${this.#version}`, `..2026_11_30_${this.#version + 1}`];
    this.#version += 1;
    mkdirSync(join(this.path, fresh));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(this.path, fresh, name), text);
    symlinkSync(fresh, join(this.path, '..data_tmp'));
    renameSync(join(this.path, '..data_tmp'), join(this.path, '..data'));
    this.#link(Object.keys(files));
    rmSync(join(this.path, old), { recursive: true, force: true });
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  /** What is new gets its link, what is no longer there loses it. */
  #link(names: readonly string[]): void {
    for (const name of names)
      if (!this.#names.includes(name)) symlinkSync(join('..data', name), this.file(name));
    for (const name of this.#names) if (!names.includes(name)) rmSync(this.file(name));
    this.#names = names;
  }
}
