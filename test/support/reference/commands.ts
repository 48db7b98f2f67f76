/** The commands as `--help` has them, a section for each. */
import { COMMANDS } from '../../../core/cli/commands.ts';
import { helpOfCommand } from '../../../core/cli/help.ts';
import { standaloneCommands } from '../../../core/cli/plugin-commands.ts';

/** Commands of Postern, then those of its plugins. */
export async function commandSections(): Promise<string> {
  const all = Object.entries({ ...COMMANDS, ...(await standaloneCommands()) });
  const sections = all.map(
    ([words, command]) => `## \`postern ${words}\`\n\n\`\`\`text\n${helpOfCommand(words, command)}\`\`\`\n`,
  );
  return sections.join('\n');
}
