/** How a worker's gateway reloads together with the others. */
import type { Gateway } from '../gateway.ts';
import { FilesChanged } from '../workers/worker/reload-steps.ts';
import type { Reloadable } from '../workers/worker/reload-steps.ts';
import type { ConfigFile, LoadedFiles } from './config-file.ts';

/** Loads the file and sets the gateway up for it. */
export function reloadableOf(
  file: Pick<ConfigFile, 'loadFiles'>,
  gateway: Pick<Gateway, 'prepareReload' | 'reloadFailed'>,
): Reloadable {
  return {
    async prepare(calledOff) {
      const load: { files?: LoadedFiles } = {};
      const prepared = await gateway.prepareReload(async () => {
        load.files = await file.loadFiles();
        return load.files.config;
      }, calledOff);
      // Certificates are read after the config.
      if (load.files?.isCurrent()) return { digest: load.files.digest, ...prepared };
      await prepared.abort();
      throw new FilesChanged();
    },
    failed: () => gateway.reloadFailed(),
  };
}
