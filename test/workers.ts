/**
 * `npm run test:workers [-- --part | test/e2e/login.test.ts]`: runs the tests of whole gateways, those about what workers share, or those named, with two workers
 * instead of one, and lists those that are about one worker, with their reasons.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = join('test', 'e2e');

/** What makes gateways with as many workers as the run says. */
const KITS = ['gateway', 'operated', 'token-gateway'].map((kit) => `/support/${kit}.ts'`);
/** These say themselves how many workers they have. */
const OWN_WORKERS = /^workers.*|-over-(workers|fleet)/;

/**
 * In continuous integration. What workers share: pools and their pace, cancel keys, passwords and plugins that count, orders of operators, reloads, drains, readiness, audit
 * trails, addresses. In the others a session meets its own worker only, as with one: its protocol, its settings, its credential.
 */
const PART = [
  'accept',
  'all-plugins',
  'audit',
  'cancel',
  'credentials',
  'drain',
  'health-checks',
  'kill',
  'login',
  'no-cancel-key',
  'operations',
  'password-users',
  'pool',
  'pool-state',
  'process-id',
  'reload',
  'restart',
  'session-mode-on-request',
  'transaction-mode',
  'unix-socket',
].map((name) => join(folder, `${name}.test.ts`));

function ofWholeGateways(): readonly string[] {
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.test.ts') && !OWN_WORKERS.test(name))
    .map((name) => join(folder, name))
    .filter((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      return KITS.some((kit) => text.includes(kit));
    });
}

function listReasons(file: string): void {
  if (!existsSync(file)) return;
  const lines = new Set(readFileSync(file, 'utf8').split('\n').filter(Boolean));
  console.log(`With one worker, or not at all:\n${[...lines].sort().join('\n')}`);
}

function run(workers: number): number {
  // A second `--`, as in `npm run test:workers -- --part -- --bail=1`.
  const given = process.argv.slice(2).filter((argument) => argument !== '--');
  const isNamed = given.some((argument) => argument.startsWith('test/'));
  const chosen = given.includes('--part') ? PART : isNamed ? [] : ofWholeGateways();
  const tests = [...chosen, ...given.filter((argument) => argument !== '--part')];
  const scratch = mkdtempSync(join(tmpdir(), 'postern-workers-'));
  const reasons = join(scratch, 'reasons');
  const env = {
    ...process.env,
    POSTERN_TEST_WORKERS: String(workers),
    POSTERN_TEST_ONLY_ONE: reasons,
  };
  try {
    const vitest = join(root, 'node_modules/vitest/vitest.mjs');
    const { status } = spawnSync(process.execPath, [vitest, 'run', ...tests], {
      cwd: root,
      env,
      stdio: 'inherit',
    });
    listReasons(reasons);
    return status ?? 1;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

process.exitCode = run(2);
