/** Commands that the plugins of a config bring, such as `postern sql claims`. */
import { parseArgs } from 'node:util';
import { ConfigError } from '../errors.ts';
import { findConfig, loadConfig } from '../load.ts';
import type { MaybePromise } from '../session.ts';

/** `--config F` is the command line's, everything else is for the plugin. */
function split(args: readonly string[]): {
  readonly config: string | undefined;
  readonly rest: readonly string[];
} {
  const options = { config: { type: 'string' } } as const;
  const { tokens, values } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const ours = new Set<number>();
  for (const token of tokens) {
    if (token.kind !== 'option' || token.name !== 'config') continue;
    ours.add(token.index);
    if (token.inlineValue === false) ours.add(token.index + 1);
  }
  const config = typeof values.config === 'string' ? values.config : undefined;
  return { config, rest: args.filter((_, index) => !ours.has(index)) };
}

/**
 * The command that some plugin calls by the first words of `args`, the longest name first; undefined if there is none, or
 * no config in the working directory. Plugins are made, never set up.
 * @throws ConfigError for a config that is named and does not exist, or is not valid
 */
export async function pluginCommand(
  args: readonly string[],
): Promise<(() => MaybePromise<number>) | undefined> {
  const { config, rest } = split(args);
  const path = whereIs(config);
  if (path === undefined) return undefined;
  const { plugins } = await loadConfig(path);
  for (let words = rest.length; words > 0; words -= 1) {
    const name = rest.slice(0, words).join(' ');
    for (const { commands } of plugins) {
      const run = commands && Object.hasOwn(commands, name) ? commands[name] : undefined;
      if (run) return () => run(rest.slice(words));
    }
  }
  return undefined;
}

function whereIs(config: string | undefined): string | undefined {
  if (config !== undefined) return findConfig(process.cwd(), config);
  try {
    return findConfig(process.cwd());
  } catch (error) {
    if (error instanceof ConfigError) return undefined;
    throw error;
  }
}
