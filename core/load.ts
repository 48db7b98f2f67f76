/** Finds a config file and loads it, TypeScript included, from anywhere on disk. The sole importer of jiti. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { createJiti } from 'jiti';
import { checkConfig } from './config/check.ts';
import type { ResolvedConfig } from './config/check.ts';
import { UnsetVariable, withDirectory } from './contract/config.ts';
import { knownPlugins } from './config/known-plugins.ts';
import { didYouMean } from './config/nearest-name.ts';
import { kindOf } from './config/sentences.ts';
import { ConfigError } from './contract/errors.ts';
import { modulesFor, pluginNames } from './config/own-modules.ts';

const NAMES = ['gateway.config.ts', 'gateway.config.mts', 'gateway.config.js'] as const;

/**
 * The absolute path of the config file.
 * @param cwd where to look, and what a relative `given` starts from
 * @param given the file somebody named. Default: gateway.config.ts, .mts or .js in `cwd`
 * @throws ConfigError if there is none
 */
export function findConfig(cwd: string, given?: string): string {
  if (given !== undefined) {
    const path = resolve(cwd, given);
    if (!existsSync(path)) throw new ConfigError(`no config file ${path}`);
    if (!statSync(path).isDirectory()) return path;
    throw new ConfigError(`${path} is a folder: name the file, such as ${resolve(path, NAMES[0])}`);
  }
  const found = NAMES.map((name) => resolve(cwd, name)).find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new ConfigError(`no ${NAMES[0]} in ${cwd}: postern init writes one, and --config names another file`);
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`cannot read ${path}: ${(error as Error).message}`);
  }
}

/** Where in `path` an error came from: `path:line`, or the path alone. Columns would be those of compiled text. */
function placeOf(error: Error, path: string): string {
  const from = error.stack?.indexOf(`${path}:`) ?? -1;
  const [place] = from < 0 ? [] : (/^:\d+/.exec(error.stack?.slice(from + path.length) ?? '') ?? []);
  return `${path}${place ?? ''}`;
}

/** `env('NAME')` without a fallback. */
const WANTED = /\benv\(\s*(['"`])(\w+)\1\s*(?:,\s*)?\)/g;

/** The first variable that is missing stops a config; the others in its text are named with it. */
function withOthers({ message }: UnsetVariable, text: string): ConfigError {
  const missing = new Set([...text.matchAll(WANTED)].map(([, , name = '']) => name));
  const others = [...missing].filter(
    (name) => process.env[name] === undefined && !message.includes(` ${name} `),
  );
  const nor = others.length === 1 ? 'nor is' : 'nor are';
  return new ConfigError(others.length === 0 ? message : `${message}, ${nor} ${others.join(', ')}`);
}

/** What jiti says of a file that is not TypeScript, and behind it the place, on a line of its own. */
function syntaxError(text: string): { readonly message: string; readonly place: string } | undefined {
  const [first = '', ...lines] = text.split('\n').map((line) => line.trim());
  const place = lines.find((line) => /:\d+:\d+$/.test(line));
  const begin = 'ParseError: ';
  return first.startsWith(begin) && place !== undefined
    ? { message: first.slice(begin.length), place }
    : undefined;
}

/** Turns what a config file throws into the sentence that stops the boot. */
function explain(error: unknown, path: string, text: string): ConfigError {
  if (error instanceof UnsetVariable) return withOthers(error, text);
  if (error instanceof ConfigError) return error;
  if (!(error instanceof Error)) {
    const what = typeof error === 'string' ? error : kindOf(error);
    return new ConfigError(`${path}: threw ${what}`, { cause: error });
  }
  const wrong = syntaxError(error.message);
  if (wrong) return new ConfigError(`${wrong.place}: syntax error: ${wrong.message}`, { cause: error });
  const [, plugin] = /'postern\/plugins\/([^']+)'/.exec(error.message) ?? [];
  if (plugin !== undefined && 'code' in error) {
    return new ConfigError(`${path}: there is no plugin '${plugin}'${didYouMean(plugin, pluginNames())}`, {
      cause: error,
    });
  }
  // The first line only: behind it stand require stacks, which name files that nobody wrote.
  return new ConfigError(`${placeOf(error, path)}: ${error.message.split('\n', 1)[0]}`, { cause: error });
}

async function evaluate(
  path: string,
  text: string,
  secretFiles: Set<string>,
): Promise<Readonly<Record<string, unknown>>> {
  const virtualModules = await modulesFor(text);
  const jiti = createJiti(path, {
    fsCache: false,
    moduleCache: false,
    interopDefault: false,
    virtualModules,
  });
  try {
    const load = (): Promise<Readonly<Record<string, unknown>>> => jiti.import(path);
    return await withDirectory(dirname(path), secretFiles, load);
  } catch (error) {
    throw explain(error, path, text);
  }
}

/**
 * Loads and checks a config file; reads it and what it imports anew each time.
 * `postern` and `postern/plugins/*` are, wherever the file is, the modules that run now.
 * @throws ConfigError with one line per mistake; errors inside the file name it, with the line where it is known
 */
export async function loadConfig(path: string): Promise<ResolvedConfig> {
  const absolute = resolve(path);
  const secretFiles = new Set<string>();
  const module = await evaluate(absolute, textOf(absolute), secretFiles);
  // A file in CommonJS is its own default export.
  const isCommonJs =
    Object.prototype.toString.call(module) !== '[object Module]' && !('__esModule' in module);
  if (!('default' in module) && (!isCommonJs || Object.keys(module).length === 0)) {
    throw new ConfigError(`${absolute} has no default export: expected 'export default defineConfig({ … })'`);
  }
  const config = await checkWithAdvice('default' in module ? module['default'] : module, dirname(absolute));
  return { ...config, secretFiles: [...secretFiles] };
}

/** Which plugins a config could list is asked only once one lacks: each folder has a module to load. */
async function checkWithAdvice(value: unknown, directory: string): Promise<ResolvedConfig> {
  try {
    return checkConfig(value, directory);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return checkConfig(value, directory, await knownPlugins());
  }
}
