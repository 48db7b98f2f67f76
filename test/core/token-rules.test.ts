/** Rules of sessions in whatever words: each reader takes what the plugins that enforce it understand, and names the place of what it refuses. */
import { expect, test } from 'vitest';
import { TokenRulesReader } from '../../core/options/token-rules.ts';

const reader = new TokenRulesReader({
  words: {
    at_most: 'maxConnections',
    dbs: 'databases',
    nets: 'cidrs',
    life: 'maxSession',
    pace: 'rate',
    when: 'windows',
    to: 'target',
  },
  item: (path, place) => `${path}/${place}`,
  wrong(path, value, wanted) {
    throw new Error(`${path} ${String(value)}: ${wanted}`);
  },
  unknown(path, word, known) {
    throw new Error(`${path} ${word} of ${known.length}`);
  },
});

test('words are translated, and values stay as they are', () => {
  const when = [{ days: ['mon'], from: '22:00', to: '24:00', tz: 'Europe/Berlin' }];
  const given = {
    at_most: 2,
    dbs: ['a'],
    nets: ['10.0.0.0/8', '::/0'],
    life: '1h',
    pace: { statements: '1/s' },
    when,
    to: 'any',
  };
  expect(reader.read('r', given)).toEqual({
    maxConnections: 2,
    databases: ['a'],
    cidrs: ['10.0.0.0/8', '::/0'],
    maxSession: '1h',
    rate: { statements: '1/s' },
    windows: when,
    target: 'any',
  });
  expect(reader.read('r', {})).toEqual({});
});

test.each([
  [[], 'r : an object'],
  [{ maxConnections: 1 }, 'r maxConnections of 7'],
  [{ at_most: 0 }, 'r.at_most 0: a whole number from 1'],
  [{ dbs: ['a', ''] }, 'r.dbs/1 : a name'],
  [{ dbs: 'a' }, 'r.dbs a: a list'],
  [{ nets: ['10.0.0.1'] }, 'r.nets/0 10.0.0.1: a network'],
  [{ nets: ['10.0.0.0/33'] }, 'r.nets/0 10.0.0.0/33: a network'],
  [{ life: '0s' }, 'r.life 0s: a duration'],
  [{ life: 5 }, 'r.life 5: a duration'],
  [{ pace: { statements: '0/s' } }, 'r.pace.statements 0/s: a rate'],
  [{ pace: { bytes: '1/s' } }, 'r.pace bytes of 2'],
  [{ when: [{ days: ['mon'], from: '24:00', to: '24:00', tz: 'UTC' }] }, 'r.when/0.from 24:00: a time'],
  [{ when: [{ days: ['Mon'], from: '08:00', to: '24:00', tz: 'UTC' }] }, 'r.when/0.days/0 Mon: one of'],
  [{ when: [{ days: ['mon'], from: '08:00', to: '24:00', tz: 'Mars' }] }, 'r.when/0.tz Mars: a time zone'],
  [{ to: 'nearest' }, 'r.to nearest: one of'],
])('%j is refused in its place', (given, sentence) => {
  expect(() => reader.read('r', given)).toThrow(sentence);
});
