/** The modules of Postern that config files import, as they run in this process. */
import { existsSync, readdirSync } from 'node:fs';
import { ConfigError } from '../contract/errors.ts';
import * as postern from '../index.ts';
import * as wire from '../wire/index.ts';

/** What stands beside this folder: sources where this file is a source, compiled where it is compiled. */
const PLUGINS = new URL('../../plugins/', import.meta.url);
const EXAMPLES = new URL('../../examples/', import.meta.url);
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const NAMED = /(['"`])postern\/plugins\/([\w-]+)\1/g;
/** An import of a file that may import plugins in its turn, or of a plugin whose name is not plain text. */
const UNSURE =
  /\b(?:from|import|require)\s*(?:\(\s*)?['"`](?:\.{0,2}\/|file:)|\bimport\s*\(\s*[^'"\s]|postern\/plugins\/(?![\w-]+['"`])/;

function locate(folder: URL, name: string, module: string): URL {
  return new URL(`${name}/${module}.${EXTENSION}`, folder);
}

function namesIn(folder: URL, module: string): readonly string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder).filter((name) => existsSync(locate(folder, name, module)));
}

/**
 * The names of the plugins that come with Postern and have this module.
 * @param module without its extension. Default `'index'`: all plugins
 */
export function pluginNames(module = 'index'): readonly string[] {
  return namesIn(PLUGINS, module);
}

/** `rateLimit` for the folder `rate-limit`: as a config calls it. */
export function factoryName(folder: string): string {
  return folder.replace(/-(.)/g, (_match, letter: string) => letter.toUpperCase());
}

/** A module of a plugin that comes with Postern. @throws ConfigError if it cannot be loaded */
export async function importPlugin(name: string, module = 'index'): Promise<unknown> {
  try {
    return await import(locate(PLUGINS, name, module).href);
  } catch (error) {
    throw new ConfigError(`the plugin postern/plugins/${name} does not load: ${(error as Error).message}`);
  }
}

/** The modules of this name that examples which come with Postern have. Rejects if one cannot be loaded. */
export async function importExamples(module: string): Promise<readonly unknown[]> {
  const names = namesIn(EXAMPLES, module);
  return Promise.all(names.map(async (name) => import(locate(EXAMPLES, name, module).href)));
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
  return { postern, 'postern/wire': wire, ...Object.fromEntries(plugins) };
}
