import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseOptions } from '../../../core/wire/options.ts';
import { encodeQuery } from '../../../core/wire/to-server.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { rawLogin } from './raw-connection.ts';
import { attempt } from './refused.ts';

const postgres = sharedPostgres();

/** What a real server makes of `options`: the settings of these names in the session, or its SQLSTATE. */
async function onServer(
  options: string,
  names: readonly string[] = [],
): Promise<Record<string, string> | string> {
  const parameters = [
    ['user', 'reader'],
    ['database', 'postgres'],
    ['options', options],
  ] as const;
  const result = await rawLogin({ port: postgres.port, parameters, password: postgres.passwords.reader });
  if (!('ask' in result)) return result.code;
  const asked = [...new Set([...names, 't.a', 't.b', 't.c_d'])].map(
    (name) => `('${name.replaceAll("'", "''")}')`,
  );
  const values = `select name, current_setting(name, true) as value from (values ${asked.join(',')}) as asked (name)`;
  const sql = `select json_object_agg(name, value) from (${values}) as known where value is not null`;
  const answers = await result.ask(encodeQuery(sql));
  result.close();
  const row = answers.find(({ type }) => type === 'D')?.body.subarray(6) ?? Buffer.alloc(0);
  return row.length === 0 ? {} : (JSON.parse(row.toString()) as Record<string, string>);
}

/** What we make of it, the last of two settings winning as it does there. */
function onGateway(options: string): Record<string, string> | string {
  const settings = attempt(() => parseOptions(options));
  if (settings instanceof Error) return settings.sqlstate;
  return Object.fromEntries(settings.map(({ name, value }) => [name.toLowerCase(), value]));
}

const value = fc.string({ unit: fc.constantFrom('a', ' ', '\\', '=', '-', '\n', 'ü', "'") });
const setting = fc
  .tuple(fc.constantFrom('-c ', '-c', '--', '-c\n'), fc.constantFrom('t.a', 'T.b', 't.c-d'), value)
  .map(([flag, name, text]) => `${flag}${name}=${text.replace(/[\\\s]/g, String.raw`\$&`)}`);

/** Nearly settings: white space, backslashes, dashes and equals signs where they may change the meaning. */
const word = fc
  .tuple(
    fc.constantFrom('-c ', '-c', '--', '-c\\', '-c  \\'),
    fc.constantFrom('t.a', 'T-b', 't\\.c', 't.c--', 't.a'),
    fc.constantFrom('=', '\\=', '=', '='),
    fc.string({ unit: fc.constantFrom('a', '\\', '=', '-', 'ü', '\\ ', '\\\\'), maxLength: 5 }),
  )
  .map((parts) => parts.join(''));
const space = fc.constantFrom(' ', '\t', '\n', '\v', '\f', '\r', ' \n ', '\u00a0', '');
const nearlySettings = fc
  .array(fc.tuple(word, space), { maxLength: 4 })
  .map((words) => words.flat().join(''));

test('settings written in any form and escaped are the same on a real server', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(setting, { maxLength: 4 }), async (settings) => {
      const options = settings.join('  ');
      const ours = onGateway(options);
      expect(ours).toEqual(await onServer(options, Object.keys(ours)));
    }),
    { numRuns: 150 },
  );
});

test('whatever we read out of options, a real server read the same or refused it', async () => {
  await fc.assert(
    fc.asyncProperty(nearlySettings, async (options) => {
      const ours = onGateway(options);
      const theirs = await onServer(options, Object.keys(ours));
      // Where the server refuses, our reading never comes to bear: the name it gave is no run-time parameter.
      if (typeof ours === 'string' || typeof theirs === 'string') return;
      expect(ours).toEqual(theirs);
    }),
    { numRuns: 400 },
  );
});

test.each(['-c t.a', '--t.a', '-c', 't.a=x', '--t.a=x y', '-c t.a=x \\'])(
  'both refuse %j',
  async (options) => {
    expect(typeof onGateway(options)).toBe('string');
    expect(typeof (await onServer(options))).toBe('string');
  },
);
