/** `npm run bench [-- loads|logins|latency|idle|bulk|workers|observers] [-- options]`: the gateway beside its peers; `--help` says what there is. */
import { Backdrop } from './backdrop.ts';
import { bulk } from './bulk.ts';
import { commandOf, helpOf, UsageError } from './command-line.ts';
import { idle } from './idle.ts';
import { latency } from './latency.ts';
import { loads } from './loads.ts';
import { logins } from './logins.ts';
import { observers } from './observers.ts';
import { json, markdown } from './table.ts';
import { workers } from './workers.ts';

const BENCHMARKS = { loads, logins, latency, idle, bulk, workers, observers };

async function main(): Promise<void> {
  const command = commandOf(process.argv.slice(2), BENCHMARKS);
  if (command.help) {
    console.log(helpOf(BENCHMARKS));
    return;
  }
  const { benchmark, options } = command;
  const table = await Backdrop.around((backdrop) => benchmark.run(backdrop, options));
  console.log(command.json ? json(table) : `Node ${process.version}; ${markdown(table)}`);
}

main().catch((error: unknown) => {
  console.error(error instanceof UsageError ? `bench: ${error.message}` : error);
  process.exitCode = 1;
});
