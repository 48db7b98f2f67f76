/** Findings of `postern check`: what plugins and servers say of themselves is told as it is, and does nothing else. */
import { expect, test } from 'vitest';
import { lineOf } from '../../../core/cli/online/finding.ts';
import { pluginFindings } from '../../../core/cli/online/plugins.ts';
import { checkConfig } from '../../../core/config/check.ts';

test('a text of a server stays on its line and gives a terminal no orders', () => {
  const text = 'the server refuses the role: \u001b[2J\u202enice\nok       all is well';
  expect(lineOf({ level: 'error', path: 'databases.orders', text })).toBe(
    'error    databases.orders: the server refuses the role: \\u{1b}[2J\\u{202e}nice ok all is well\n',
  );
});

test.each([
  ['a level that there is not', [{ path: 'mine', text: 'the store is gone', level: 'ERROR' }]],
  ['a text that is none', [{ path: 'mine', text: 7 }]],
  ['a path that is none', [{ text: 'the store is gone' }]],
  ['nothing where a finding should be', [null]],
  ['no list', { path: 'mine', text: 'the store is gone' }],
])('%s, from a plugin, is an error of that plugin', async (_, found) => {
  const plugin = { name: 'mine', probe: () => found as never };
  const findings = await pluginFindings(
    checkConfig({ listen: { port: 0 }, databases: {}, plugins: [plugin] }, '/'),
  );
  expect(findings).toMatchObject([{ level: 'error', path: 'mine' }]);
  expect(findings.map(lineOf).join('')).toMatch(/^error {4}mine: .+\n$/);
});
