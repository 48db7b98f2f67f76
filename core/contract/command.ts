/** Commands of the command line, those of Postern and those that plugins bring: what their help and their parser read. */
import type { MaybePromise } from './session.ts';

/** An option of a command, such as `--contains HASH`. */
export interface CommandOption {
  /** The word that stands for its value in the help, such as `FILE`. Default: it takes none. */
  readonly value?: string;
  /** May stand there more than once. Default false. */
  readonly multiple?: boolean;
  /** What it is for, as a phrase. */
  readonly help: string;
}

/** What stands behind the words of a command, understood. */
export interface CommandLine {
  /** By the option's name: its values in their order, one empty text for each time that one without a value stands there. */
  readonly options: Readonly<Record<string, readonly string[] | undefined>>;
  readonly operands: readonly string[];
}

/** A command, called by its words: `sql claims` is run by `postern sql claims`. */
export interface Command {
  /** One phrase for the list of commands: `checks the files of an audit trail`. */
  readonly summary: string;
  /** By their names without dashes. Default: none. `--help` every command has, `--config` every one that a config brings. */
  readonly options?: Readonly<Record<string, CommandOption>>;
  /** As the usage says them, in this order: `NAME`, `[NAME]` if it may be missing, `FILE…` if there may be more. Default: none. */
  readonly operands?: readonly string[];
  /** Lines at the end of its help. Default: none. */
  readonly notes?: string;
  /** Gives the exit code: 0 if it is done, 1 if it failed and the reason is on standard error. A ConfigError is such a reason. */
  run(line: CommandLine): MaybePromise<number>;
}

/**
 * A command that is known without a config, since `plugins/<name>/commands.ts` exports it in `commands`: for what needs no
 * option of the plugin, or takes one from the command line instead.
 */
export interface StandaloneCommand extends Omit<Command, 'run'> {
  /**
   * @param configured gives the command of these words that the plugin brings where a config lists it; rejects with a
   * ConfigError where there is no such config, it does not load, or the plugin is not in it
   */
  run(line: CommandLine, configured: () => Promise<Command>): MaybePromise<number>;
}
