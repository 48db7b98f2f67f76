/** What a transaction makes of a client's settings, decided without a server: a row per rule. */
import { expect, test } from 'vitest';
import { asksOrigins, namesToAsk, settle, tooMany } from '../../../core/upstream/client-settings.ts';
import type { Ended } from '../../../core/upstream/client-settings.ts';
import { SessionSettings } from '../../../core/upstream/session-settings.ts';

/** Values by name. */
type Values = Readonly<Record<string, string>>;

const settings = (values: Values, from: 'client' | 'policy' = 'client'): SessionSettings =>
  SessionSettings.of(Object.entries(values).map(([name, value]) => ({ name, value, from })));

const values = ({ all }: SessionSettings): Values =>
  Object.fromEntries(
    all.map(({ name, value }) => [
      name.toLowerCase(),
      typeof value === 'string' ? value : JSON.stringify(value),
    ]),
  );

interface Transaction {
  /** The client's settings before. */
  readonly session?: Values;
  /** Those in force on the connection before. Default: those of the session. */
  readonly applied?: SessionSettings;
  readonly touched?: Readonly<Record<string, 'set' | 'reset' | 'either'>>;
  readonly resetsAll?: boolean;
  /** Commands may have failed. */
  readonly isUncertain?: boolean;
  /** Values before the server reported other ones. */
  readonly reportedBefore?: Values;
  /** The parameters that the server reports now. */
  readonly reported?: Values;
  readonly pinned?: readonly string[];
  readonly atLogin?: readonly string[];
}

function endOf(transaction: Transaction): Ended {
  const { session = {}, touched = {}, resetsAll = false, reportedBefore = {}, reported = {} } = transaction;
  return {
    touched: {
      names: new Map(Object.entries(touched)),
      resetsAll,
      isUncertain: transaction.isUncertain ?? false,
      reported: new Map(Object.entries(reportedBefore)),
    },
    applied: transaction.applied ?? settings(session),
    reported: new Map(Object.entries(reported)),
    pinned: new Set(transaction.pinned),
    atLogin: new Set(transaction.atLogin),
  };
}

const ZONE = { reported: { TimeZone: 'Asia/Tokyo' }, reportedBefore: { timezone: 'UTC' } };

test.each<
  [
    rule: string,
    transaction: Transaction,
    asked: Readonly<Record<string, string | null>>,
    session: Values,
    applied: Values,
  ]
>([
  ['nothing was touched', { session: { work_mem: '1MB' } }, {}, { work_mem: '1MB' }, { work_mem: '1MB' }],
  [
    'a SET of a setting that the server reports',
    { touched: { timezone: 'set' }, ...ZONE },
    {},
    { timezone: 'Asia/Tokyo' },
    { timezone: 'Asia/Tokyo' },
  ],
  [
    'a SET that was rolled back: the server has reported nothing else',
    { touched: { timezone: 'set' }, reported: { TimeZone: 'UTC' } },
    {},
    {},
    {},
  ],
  [
    'a SET of a setting that is asked for',
    { touched: { work_mem: 'set' } },
    { work_mem: '1MB' },
    { work_mem: '1MB' },
    { work_mem: '1MB' },
  ],
  [
    'a SET that was rolled back: the value is that from before',
    { session: { work_mem: '1MB' }, touched: { work_mem: 'set' } },
    { work_mem: '1MB' },
    { work_mem: '1MB' },
    { work_mem: '1MB' },
  ],
  ['a SET of a setting that does not exist', { touched: { 'no.such': 'set' } }, { 'no.such': null }, {}, {}],
  ['a RESET', { session: { work_mem: '1MB' }, touched: { work_mem: 'reset' } }, { work_mem: '4MB' }, {}, {}],
  [
    'RESET ALL',
    { session: { work_mem: '1MB', 'app.a': 'x' }, resetsAll: true },
    { work_mem: '4MB', 'app.a': '' },
    {},
    {},
  ],
  [
    'RESET ALL leaves the role',
    { session: { role: 'reader', work_mem: '1MB' }, resetsAll: true },
    { work_mem: '4MB' },
    { role: 'reader' },
    { role: 'reader' },
  ],
  [
    'RESET ALL, and a SET behind it',
    { session: { work_mem: '1MB' }, resetsAll: true, touched: { work_mem: 'set' } },
    { work_mem: '2MB' },
    { work_mem: '2MB' },
    { work_mem: '2MB' },
  ],
  [
    'a change that no text shows follows the session where drivers rely on the setting',
    ZONE,
    {},
    { timezone: 'Asia/Tokyo' },
    { timezone: 'Asia/Tokyo' },
  ],
  [
    'any other change that no text shows is in force on the connection, and not the client’s choice',
    {
      reported: { default_transaction_read_only: 'on' },
      reportedBefore: { default_transaction_read_only: 'off' },
    },
    {},
    {},
    { default_transaction_read_only: 'on' },
  ],
  [
    'the state of the server is no setting',
    { reported: { in_hot_standby: 'on' }, reportedBefore: { in_hot_standby: 'off' } },
    {},
    {},
    {},
  ],
  [
    'a setting that a plugin pins is in force, and does not follow the session',
    { touched: { work_mem: 'set' }, pinned: ['work_mem'] },
    { work_mem: '1MB' },
    {},
    { work_mem: '1MB' },
  ],
])('%s', (_rule, transaction, asked, session, applied) => {
  const ended = endOf(transaction);
  expect([...namesToAsk(ended)].sort()).toEqual(Object.keys(asked).sort());
  const settled = settle(settings(transaction.session ?? {}), ended, {
    values: new Map(Object.entries(asked)),
    ofSession: new Set(),
    ofServer: new Set(),
  });
  expect([values(settled.session), values(settled.applied)]).toEqual([session, applied]);
});

test('a setting of a policy is neither asked for nor taken over', () => {
  const policy = settings({ 'app.user': 'alice' }, 'policy');
  const ended = endOf({ applied: policy, touched: { 'app.user': 'set' } });
  const settled = settle(SessionSettings.none, ended, {
    values: new Map(),
    ofSession: new Set(),
    ofServer: new Set(),
  });
  expect([namesToAsk(ended), settled.session, settled.applied]).toEqual([[], SessionSettings.none, policy]);
});

test('a RESET to an equal value is told from one that was rolled back by the origin of the value', () => {
  const session = settings({ work_mem: '4MB' });
  const ended = endOf({
    session: { work_mem: '4MB' },
    touched: { work_mem: 'reset' },
    atLogin: ['work_mem'],
  });
  expect(asksOrigins(session, ended)).toBe(true);
  const after = (ofSession: readonly string[]): SessionSettings =>
    settle(session, ended, {
      values: new Map([['work_mem', '4MB']]),
      ofSession: new Set(ofSession),
      ofServer: new Set(),
    }).session;
  expect([values(after([])), values(after(['work_mem']))]).toEqual([{}, { work_mem: '4MB' }]);
});

test('origins are not asked for where a RESET returns to the connection’s own value, or nothing was reset', () => {
  const session = settings({ work_mem: '4MB' });
  expect(asksOrigins(session, endOf({ touched: { work_mem: 'reset' } }))).toBe(false);
  expect(asksOrigins(session, endOf({ touched: { work_mem: 'set' }, atLogin: ['work_mem'] }))).toBe(false);
  expect(
    asksOrigins(SessionSettings.none, endOf({ touched: { work_mem: 'reset' }, atLogin: ['work_mem'] })),
  ).toBe(false);
});

test('settings follow up to a number and a length', () => {
  const many = (count: number): SessionSettings =>
    settings(Object.fromEntries(Array.from({ length: count }, (_, i) => [`app.s${i}`, 'x'])));
  expect([tooMany(many(200)), tooMany(many(201))]).toEqual([undefined, 'too many settings']);
  const long = (length: number): SessionSettings => settings({ 'app.long': 'x'.repeat(length) });
  expect([tooMany(long(1_048_576)), tooMany(long(1_048_577))]).toEqual([undefined, 'too many settings']);
});

test('a setting that was set and reset is that of the login where it has no value of the session', () => {
  const session = settings({ work_mem: '4MB' });
  const ended = endOf({
    session: { work_mem: '4MB' },
    touched: { work_mem: 'either' },
    atLogin: ['work_mem'],
  });
  expect(asksOrigins(SessionSettings.none, ended)).toBe(true);
  const after = (ofSession: readonly string[], value: string): Values =>
    values(
      settle(session, ended, {
        values: new Map([['work_mem', value]]),
        ofSession: new Set(ofSession),
        ofServer: new Set(),
      }).session,
    );
  expect([after([], '4MB'), after(['work_mem'], '4MB'), after(['work_mem'], '7MB')]).toEqual([
    {},
    { work_mem: '4MB' },
    { work_mem: '7MB' },
  ]);
});

test('a command that may have failed chooses what has a value of the session, and nothing of the server', () => {
  const touched = { log_statement: 'set', work_mem: 'set', 'my.mark': 'set' } as const;
  const ended = endOf({ touched, isUncertain: true });
  expect(asksOrigins(SessionSettings.none, ended)).toBe(true);
  const { session } = settle(SessionSettings.none, ended, {
    values: new Map([
      ['log_statement', 'none'],
      ['work_mem', '4MB'],
      ['my.mark', 'x'],
    ]),
    ofSession: new Set(['work_mem']),
    ofServer: new Set(['log_statement']),
  });
  expect(values(session)).toEqual({ 'my.mark': 'x', work_mem: '4MB' });
  // A custom setting, or one that was set before, needs no such question.
  expect(asksOrigins(SessionSettings.none, endOf({ touched: { 'my.mark': 'set' }, isUncertain: true }))).toBe(
    false,
  );
});
