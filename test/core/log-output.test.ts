/** Standard output as the log uses it, where it is a file; readers of pipes are in test/e2e/drain-deadline.test.ts. */
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect, onTestFinished, test, vi } from 'vitest';
import { LogOutput } from '../../core/telemetry/log-output.ts';
import { createLogger, flushed } from '../../core/telemetry/log.ts';
import { hasProc } from '../support/gateway-process.ts';

test.skipIf(!hasProc)('a full disk loses lines, which are counted, and nothing else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-log-'));
  const file = join(folder, 'log');
  const [full, roomy] = [openSync('/dev/full', 'w'), openSync(file, 'w')];
  onTestFinished(() => {
    for (const fd of [full, roomy]) closeSync(fd);
    rmSync(folder, { recursive: true });
  });
  const to = Object.assign(new Writable(), { fd: full });
  const log = createLogger('info', new LogOutput(to));
  log.info({}, 'first');
  log.error({}, 'second');
  to.fd = roomy;
  log.info({}, 'third');
  await flushed(log);
  const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { level: 'warn', lines: 2, msg: 'log lines were lost' },
    { level: 'info', msg: 'third' },
  ]);
});

test('a log that writes elsewhere is flushed at once', async () => {
  const write = vi.fn<(line: string) => void>();
  const log = createLogger('info', { write });
  log.info({}, 'a line');
  await flushed(log);
  expect(write).toHaveBeenCalledOnce();
});
