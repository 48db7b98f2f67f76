/** The call of `onQuery`: which statements it is asked about, and which results are taken. */
import { expect, test } from 'vitest';
import { HookCall } from '../../../core/relay/statements/hook-call.ts';
import { ParseStatement, QueryStatement } from '../../../core/relay/statements/statement.ts';
import type { Reads } from '../../../core/relay/statements/statement-texts.ts';
import type { Statement } from '../../../core/contract/statement.ts';
import { encodeParse, encodeQuery } from '../../../core/wire/to-server.ts';

const FRAME = encodeQuery('select 1');
const shown = new QueryStatement(7, FRAME);
const bind: Statement = { kind: 'bind', id: 7, sql: '', name: '', portal: '', parameters: [] };

const calling = (reads: Reads, query?: (statement: Statement) => Statement | Promise<Statement>) =>
  new HookCall({ query, reads });

test.each<[Reads, Statement, boolean]>([
  ['kind', shown, true],
  ['sql', shown, true],
  ['sql', bind, false],
  ['parameters', bind, true],
])('a hook that reads %s is asked about %o: %s', (reads, statement, asked) => {
  expect(calling(reads, (one) => one).wants(statement)).toBe(asked);
  expect(calling(reads).wants(statement)).toBe(false);
  expect(calling(reads, (one) => one).wants(undefined)).toBe(false);
});

test('a hook that answers at once makes nothing wait', () => {
  expect(calling('sql', (one) => one).ask(shown)).toBe(shown);
  expect(calling('sql').ask(shown)).toBe(shown);
});

test('what a hook throws or rejects with passes', async () => {
  const refuse = (): never => {
    throw new Error('no');
  };
  expect(() => calling('sql', refuse).ask(shown)).toThrow('no');
  await expect(calling('sql', () => Promise.reject(new Error('later'))).ask(shown)).rejects.toThrow('later');
});

test('a cancel ends the wait for a hook with 57014, and only a wait', async () => {
  const call = calling('sql', () => new Promise(() => {}));
  expect(call.cancel()).toBe(false);
  const waiting = call.ask(shown);
  expect(call.cancel()).toBe(true);
  await expect(waiting).rejects.toMatchObject({ sqlstate: '57014' });
  expect(call.cancel()).toBe(false);
});

test('a statement that the hook leaves alone is sent as it came, a rewrite with its new text', () => {
  const call = calling('sql');
  expect(call.frameOf(FRAME, shown, shown)).toBe(FRAME);
  expect(call.frameOf(FRAME, shown, shown.withSql('select 2'))).toEqual(encodeQuery('select 2'));
});

const parse = new ParseStatement(7, encodeParse('', 'select 1'));

test.each<[string, Reads, Statement]>([
  ['another statement', 'sql', new QueryStatement(8, FRAME)],
  ['another kind', 'sql', parse.withSql('select 2')],
  ['an object of its own', 'sql', { ...bind, kind: 'query', id: 7, sql: 'select 2' } as unknown as Statement],
  ['a rewrite though it reads no text', 'kind', shown.withSql('select 2')],
])('a hook that returns %s has made a mistake', (_, reads, approved) => {
  expect(() => calling(reads).frameOf(FRAME, shown, approved)).toThrow(TypeError);
});
