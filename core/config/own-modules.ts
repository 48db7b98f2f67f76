/** The modules of Postern that config files import, as they run in this process. */
import { existsSync, readdirSync } from 'node:fs';
import { ConfigError } from '../errors.ts';
import * as postern from '../index.ts';

/** The plugins beside this folder: sources where this file is a source, compiled where it is compiled. */
const PLUGINS = new URL('../../plugins/', import.meta.url);
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const NAMED = /(['"`])postern\/plugins\/([\w-]+)\1/g;
/** An import of a file that may import plugins in its turn, or of a plugin whose name is not plain text. */
const UNSURE =
  /\b(?:from|import|require)\s*(?:\(\s*)?['"`](?:\.{0,2}\/|file:)|\bimport\s*\(\s*[^'"\s]|postern\/plugins\/(?![\w-]+['"`])/;

function locate(plugin: string, module: string): URL {
  return new URL(`${plugin}/${module}.${EXTENSION}`, PLUGINS);
}

/**
 * The names of the plugins that come with Postern and have this module.
 * @param module without its extension. Default `'index'`: all plugins
 */
export function pluginNames(module = 'index'): readonly string[] {
  if (!existsSync(PLUGINS)) return [];
  return readdirSync(PLUGINS).filter((name) => existsSync(locate(name, module)));
}

/** A module of a plugin that comes with Postern. @throws ConfigError if it cannot be loaded */
export async function importPlugin(name: string, module = 'index'): Promise<unknown> {
  try {
    return await import(locate(name, module).href);
  } catch (error) {
    throw new ConfigError(`the plugin postern/plugins/${name} does not load: ${(error as Error).message}`);
  }
}

/**
 * What `postern` and `postern/plugins/…` stand for in a config file with this text. Imports only the plugins the text
 * names, since each brings its own libraries; all of them if the text leaves that open.
 * @throws ConfigError if one of them cannot be loaded
 */
export async function modulesFor(text: string): Promise<Record<string, unknown>> {
  const named = new Set([...text.matchAll(NAMED)].map(([, , name]) => name));
  const wanted = pluginNames().filter((name) => named.has(name) || UNSURE.test(text));
  const plugins = await Promise.all(
    wanted.map(async (name) => [`postern/plugins/${name}`, await importPlugin(name)]),
  );
  return { postern, ...Object.fromEntries(plugins) };
}
