/** The audit of a real load, beside what PostgreSQL itself has logged: as many statements, and the same ones. */
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { executable } from '../support/executable.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';
import { describeWith } from '../support/programs.ts';
import { startTokenGateway } from '../support/token-gateway.ts';
import type { TokenGateway } from '../support/token-gateway.ts';
import { linesIn } from '../plugins/audit-lines.ts';

const run = promisify(execFile);
const shim = fileURLToPath(new URL('../../core/cli/postern.js', import.meta.url));
const missing = executable('pgbench') === undefined;

let postgres: OwnPostgres;

beforeAll(async () => {
  if (missing) return;
  prepareCheckout();
  const flags = { log_statement: 'all', log_error_verbosity: 'terse', log_line_prefix: '[%u] ' };
  postgres = await startPostgres({ flags });
  await postgres.sql('create database bench owner writer');
}, 120_000);
afterAll(async () => {
  if (!missing) await postgres.stop();
});

/** How often each text is there. */
function counted(texts: readonly string[]): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1);
  return counts;
}

/** What PostgreSQL executed for the role, by the first line of its text. */
function executed(log: string): ReadonlyMap<string, number> {
  const lines = log.matchAll(
    /^\[writer\] LOG: {2}(?:statement|execute [^:]+|execute fetch from [^:]+): (.*)$/gm,
  );
  return counted([...lines].map(([, sql = '']) => sql));
}

/** What the gateway asks for itself when it opens a connection, or gives it to somebody else. */
const OWN = /^(?:\/\* the gateway |RESET (?:ALL|ROLE)$|DISCARD )/;

const clients = (counts: ReadonlyMap<string, number>): object =>
  Object.fromEntries([...counts].filter(([sql]) => !OWN.test(sql)));

describeWith('pgbench', (pgbench) => {
  test.each(['session', 'transaction'])(
    'in every protocol each statement has its line, in %s mode',
    async (mode) => {
      const before = postgres.log().length;
      const front = await startTokenGateway(postgres, {
        database: `database: 'bench', pool: { mode: '${mode}', idleTimeout: '200ms' }`,
        before: "import { audit } from 'postern/plugins/audit';",
        plugins: "audit({ sink: { file: 'audit.jsonl', rotate: { size: 300_000 } }, statements: 'whole' }),",
      });
      const env = front.environment('writer');
      await run(pgbench, ['-i', '-q', 'orders'], { env });
      for (const protocol of ['simple', 'extended', 'prepared']) {
        await run(pgbench, ['-n', '-c', '4', '-t', '50', '-M', protocol, 'orders'], { env });
      }
      front.gateway.signal('SIGTERM');
      expect(await front.gateway.ended()).toBe(0);
      const files = auditFiles(front);
      expect(files.length).toBeGreaterThan(2);
      const lines = files.flatMap((file) => linesIn(file));
      const statements = lines.filter(({ type }) => type === 'statement');
      const texts = statements.map(({ sql }) => String(sql).split('\n')[0] ?? '');
      expect(Object.fromEntries(counted(texts))).toEqual(clients(executed(postgres.log().slice(before))));
      // Each worker has a trail of its own.
      for (const own of new Set(lines.map(({ worker }) => worker))) {
        const trail = lines.filter(({ worker }) => worker === own);
        expect(trail.map(({ n }) => n)).toEqual(trail.map((_, index) => index + 1));
      }
      expect(await verified(front, files)).toMatch(
        new RegExp(`^(Together: )?${lines.length} lines (in \\d trails )?are as they were written`, 'm'),
      );
      const [, second = ''] = files;
      // One byte of one line: the amount of one booking.
      const text = readFileSync(second, 'utf8');
      const at = text.indexOf('"durationMs":') + '"durationMs":'.length;
      writeFileSync(second, `${text.slice(0, at)}${(Number(text[at]) + 1) % 10}${text.slice(at + 1)}`);
      const row = text.slice(0, at).split('\n').length;
      const refused = (await verified(front, files).catch((error: unknown) => error)) as object;
      expect(refused).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(`${second}:${row}: `) as string,
      });
      expect(refused).toMatchObject({
        stderr: expect.stringMatching(
          /: (?:worker \d: )?the line, or the one before it, was changed\n$/,
        ) as string,
      });
      await front.gateway.remove();
    },
    120_000,
  );
});

/** In the order of their lines. */
function auditFiles({ gateway: { folder } }: TokenGateway): readonly string[] {
  const names = readdirSync(folder).filter((name) => /^audit\..*jsonl$/.test(name));
  return names.toSorted().map((name) => join(folder, name));
}

/** What `postern audit verify` says. Rejects with its exit code. */
async function verified({ gateway: { folder } }: TokenGateway, files: readonly string[]): Promise<string> {
  const config = join(folder, 'gateway.config.ts');
  const args = [shim, 'audit', 'verify', '--config', config, ...files];
  return (await run(process.execPath, args)).stdout;
}
