/**
 * `npm run test:leaks [-- --checkouts 1000000] [-- --seconds 60] [-- --seed 7] [-- --only c1] [-- --workers 2 [--kill 1s]]`: looks for anything that crosses
 * from one identity to another, and for commits that were lost, under constant harm. Ctrl-C ends it with the result so far. Exits
 * with 1 if it finds anything.
 */
import { givenOptions } from '../support/program-options.ts';
import { runSuite } from './suite.ts';

const USAGE = `npm run test:leaks [-- OPTION...]
  --checkouts N  so many check-outs (default 1000000)
  --seconds N    or so many seconds
  --seed N       the same choices as a run before
  --only c1      only the check of this name
  --workers N    a gateway of so many workers (default 1)
  --kill 1s      with workers: one of them is killed so often`;

const option = { type: 'string' } as const;
const values = givenOptions(USAGE, {
  checkouts: option,
  seconds: option,
  seed: option,
  only: option,
  workers: option,
  kill: option,
});

function numberOf(name: 'checkouts' | 'seconds' | 'seed' | 'workers', otherwise: number): number {
  const given = values[name];
  const value = given === undefined ? otherwise : Number(given);
  if (!Number.isInteger(value) || value < 0) throw new Error(`--${name} must be a whole number`);
  return value;
}

/** Milliseconds between two deaths of workers; undefined: none dies. */
function killEvery(): number | undefined {
  if (values.kill === undefined) return undefined;
  const seconds = /^(\d+(?:\.\d+)?)s$/.exec(values.kill)?.[1];
  if (seconds === undefined || numberOf('workers', 1) < 2)
    throw new Error("--kill is a time such as '1s', with two --workers at least");
  return Number(seconds) * 1_000;
}

async function main(): Promise<void> {
  const seed = numberOf('seed', Date.now() % 1_000_000);
  const enough = values.seconds === undefined ? 1_000_000 : Infinity;
  const checkouts = values.checkouts === undefined ? enough : numberOf('checkouts', 0);
  console.log(`seed ${seed}`);
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once('SIGINT', interrupt).once('SIGTERM', interrupt);
  const { findings, seconds } = await runSuite({
    seed,
    checkouts,
    only: values.only,
    workers: numberOf('workers', 1),
    killEveryMs: killEvery(),
    seconds: numberOf('seconds', 86_400),
    signal: interrupted.signal,
    tell: (line) => console.log(line),
  });
  const rate = Math.round(findings.checkouts / seconds);
  console.log(
    `${findings.checkouts} check-outs in ${Math.round(seconds)} s (${rate}/s), ${findings.logins} sessions`,
  );
  for (const line of findings.lines()) console.log(line);
  console.log(`${findings.total} violations`);
  process.exitCode = findings.total > 0 ? 1 : 0;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error && error.message.startsWith('--') ? error.message : error);
  process.exitCode = 1;
});
