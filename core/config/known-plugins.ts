/** The plugins that come with Postern, by the hints of their folders: what an error or a warning may advise to list. */
import type { Credential } from '../contract/credential.ts';
import type { FactName } from '../contract/facts.ts';
import type { PluginHints } from '../contract/hints.ts';
import { factoryName, importPlugin, pluginNames } from './own-modules.ts';

/** The module of a folder that has them. */
const MODULE = 'hints';

/** A plugin with its hints. */
export interface KnownPlugin extends PluginHints {
  /** As a config lists it, such as `rateLimit()`. */
  readonly call: string;
}

/** All that are installed and give hints. @throws ConfigError if the module of one does not load */
export async function knownPlugins(): Promise<readonly KnownPlugin[]> {
  return Promise.all(
    pluginNames(MODULE).map(async (folder) => {
      const { hints } = (await importPlugin(folder, MODULE)) as { readonly hints: PluginHints };
      return { ...hints, call: `${factoryName(folder)}()` };
    }),
  );
}

/** Those that provide a fact to clients with a credential, as a config lists them: `jwt()`. Undefined: none is known. */
export function providerOf(
  fact: FactName,
  credential: Credential | undefined,
  known: readonly KnownPlugin[],
): string | undefined {
  const fitting = known.filter(
    ({ provides, credentials }) =>
      provides?.includes(fact) && (!credentials || !credential || credentials.includes(credential)),
  );
  return fitting.length === 0 ? undefined : fitting.map(({ call }) => call).join(' or ');
}
