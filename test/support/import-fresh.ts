/** Loads a module of the repository again, although it has been loaded. */
import { vi } from 'vitest';

/** `path` is from the root of the repository. */
export async function importFresh(path: string): Promise<unknown> {
  vi.resetModules();
  return import(/* @vite-ignore */ `../../${path}`);
}
