/** The commands that folders beside the core bring: those of plugins and examples known without a config, and those of the plugins that a config lists. */
import type { Command, StandaloneCommand } from '../contract/command.ts';
import type { ResolvedConfig } from '../config/check.ts';
import { factoryName, importExamples, importPlugin, pluginNames } from '../config/own-modules.ts';
import { ConfigError } from '../contract/errors.ts';
import { findConfig, loadConfig } from '../load.ts';
import { valueOf } from './command-line.ts';
import { CONFIG } from './commands.ts';

/** A plugin's or an example's module of this name exports `commands`: a folder is all that the command line knows of either. */
const MODULE = 'commands';

interface CommandsModule {
  readonly commands: Readonly<Record<string, StandaloneCommand>>;
}

interface ExampleModule {
  readonly commands: Readonly<Record<string, Command>>;
}

/** @throws ConfigError where the config does not load, or does not list the plugin */
async function configured(plugin: string, words: string, given: string | undefined): Promise<Command> {
  const path = findConfig(process.cwd(), given);
  const { plugins } = await loadConfig(path);
  const command = plugins.find(({ name }) => name === plugin)?.commands?.[words];
  if (command) return command;
  throw new ConfigError(`the config lists no ${factoryName(plugin)}(): ${path}`);
}

/** By their words, without a config: examples first. @throws ConfigError if a plugin's folder has a module that does not load */
export async function standaloneCommands(): Promise<Readonly<Record<string, Command>>> {
  const all: Record<string, Command> = {};
  for (const { commands } of (await importExamples(MODULE)) as ExampleModule[]) Object.assign(all, commands);
  for (const plugin of pluginNames(MODULE)) {
    const { commands } = (await importPlugin(plugin, MODULE)) as CommandsModule;
    for (const [words, command] of Object.entries(commands)) {
      all[words] = {
        ...command,
        run: (line) => command.run(line, () => configured(plugin, words, valueOf(line, 'config'))),
      };
    }
  }
  return all;
}

/** By their words; each takes `--config`, as the command line does that has found them. */
export function commandsOf({ plugins }: ResolvedConfig): Readonly<Record<string, Command>> {
  const all = plugins.flatMap(({ commands }) => Object.entries(commands ?? {}));
  return Object.fromEntries(
    all.map(([words, command]) => [words, { ...command, options: { config: CONFIG, ...command.options } }]),
  );
}
