/** Tags that need not be read are those of which every question is answered with no. */
import { expect, test } from 'vitest';
import { ObjectChanges } from '../../../core/relay/object-changes.ts';
import {
  changesObjects,
  dropsStatements,
  isQuiet,
  leavesState,
  mayBeUnknown,
  pins,
  setsByText,
  takesOffSettings,
} from '../../../core/relay/command-tags.ts';
import { messageLeavesState, pinReason } from '../../../core/relay/session-state-detection.ts';

const QUESTIONS = [
  changesObjects,
  dropsStatements,
  leavesState,
  mayBeUnknown,
  pins,
  setsByText,
  takesOffSettings,
];

const TAGS =
  'SELECT 1|INSERT 0 1|UPDATE 0|DELETE 12|BEGIN|COMMIT|ROLLBACK|ROLLBACK PREPARED|COMMIT PREPARED|SELECT|SELECTED 1|BEGINNING|SET|RESET|DISCARD ALL|DISCARD SEQUENCES|DEALLOCATE|DEALLOCATE ALL|LISTEN|PREPARE|DECLARE CURSOR|CREATE TABLE|LOAD|DO|CALL|COPY 5|FETCH 1|';

test.each(['GRANT', 'REVOKE', 'GRANT ROLE', 'REVOKE ROLE', 'ALTER SCHEMA', 'ALTER ROLE', 'REASSIGN OWNED'])(
  '%s may change where names are looked up',
  (tag) => expect(changesObjects(tag)).toBe(true),
);

test.each(TAGS.split('|'))('%j is not read only where nothing would follow from it', (tag) => {
  const bytes = Buffer.from(`xxxxx${tag}\0`);
  const matters = QUESTIONS.some((asks) => asks(tag));
  if (isQuiet(bytes, 5)) expect(matters).toBe(false);
  // Cut off anywhere, it is no other.
  for (let end = 5; end < bytes.length - 1; end += 1)
    if (isQuiet(bytes.subarray(0, end), 5)) expect(matters).toBe(false);
});

test('the tags of ordinary commands are not read', () => {
  for (const tag of ['SELECT 1', 'INSERT 0 1', 'UPDATE 3', 'DELETE 0', 'BEGIN', 'COMMIT', 'ROLLBACK'])
    expect(isQuiet(Buffer.from(`${tag}\0`), 0)).toBe(true);
});

test.each([
  ['create /* app */ temp table users as select 1', 'temporary objects'],
  ['select 1 into/**/temporary t', 'temporary objects'],
  ['create -- for this session\n temp view v as select 1', 'temporary objects'],
  ['insert into readings (temp) values (1)', undefined],
  ['select temp from readings /* into the report */ where n = 1', 'temporary objects'],
  ['create table t (n int) -- for good', undefined],
  ['create table pg_temp.t as select 1', 'temporary objects'],
  ['select 1 into "pg_temp" . t', 'temporary objects'],
  ['create function pg_temp_3.f() returns int', 'temporary objects'],
  ['create table pg_temp/**/.t as select 1', 'temporary objects'],
  ['create function f() returns int set search_path = app, pg_temp', undefined],
  ['insert into t select * from x', undefined],
])('a comment between words does not hide that objects are temporary: %s', (text, why) => {
  expect(pinReason(text)).toBe(why);
});

test('a default may take a value of a sequence', () => {
  expect(messageLeavesState(0x51, Buffer.from('Q\0\0\0\x1fupdate t set id = default\0', 'latin1'))).toBe(
    true,
  );
});

test('a command outdates what is known of functions if it may have defined one, and again when its transaction is over', () => {
  let [changed, outdated, pending] = [0, 0, 0];
  const changes = new ObjectChanges({
    used: true,
    changed: () => (changed += 1),
    functionsChanged: () => (outdated += 1),
    functionsPending: (change) => (pending += change),
  });
  for (const tag of ['SELECT 1', 'COMMIT', 'PREPARE TRANSACTION', 'INSERT 0 1'])
    changes.completed(tag, undefined);
  expect([changed, outdated, changes.pending]).toEqual([0, 0, false]);
  for (const tag of [
    'CREATE FUNCTION',
    'ALTER TABLE',
    'COMMIT PREPARED',
    'DO',
    'CALL',
    'IMPORT FOREIGN SCHEMA',
  ]) {
    [changed, outdated] = [0, 0];
    changes.completed(tag, undefined);
    changes.completed(tag, undefined);
    expect([changed, outdated, pending, changes.pending], tag).toEqual([2, 2, 1, true]);
    changes.over();
    changes.over();
    expect([changed, outdated, pending, changes.pending], tag).toEqual([3, 3, 0, false]);
  }
});

test('a command that drops objects, or makes a temporary one, changes objects and no function', () => {
  let [changed, outdated] = [0, 0];
  const changes = new ObjectChanges({
    used: true,
    changed: () => (changed += 1),
    functionsChanged: () => (outdated += 1),
    functionsPending() {},
  });
  changes.completed('DROP FUNCTION', undefined);
  changes.completed('CREATE TABLE', 'temporary objects');
  changes.begin();
  changes.over();
  changes.over();
  expect([changed, outdated, changes.pending]).toEqual([4, 0, false]);
});
