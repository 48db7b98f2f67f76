/** The names of prepared statements and portals that a session has: bounded, and as they were where the server discards a message. */
import { describe, expect, test } from 'vitest';
import { TextsByName } from '../../../core/relay/statements/texts-by-name.ts';
import { ClientStatements } from '../../../core/relay/prepared/client-statements.ts';
import { NO_EFFECTS, PreparedStatement } from '../../../core/relay/prepared/prepared-statement.ts';

const text = (sql: string) => ({ sql, cut: false });
const UNSEEN = text('');

describe('texts behind names', () => {
  test('a Parse, a Bind and a Close change them, and a portal keeps the text of its statement', () => {
    const prepared = new TextsByName();
    prepared.parse('s', text('select 1'));
    prepared.bind('p', 's');
    prepared.close('S', 's');
    expect([prepared.ofStatement('s'), prepared.ofPortal('p')]).toEqual([UNSEEN, text('select 1')]);
    prepared.close('P', 'p');
    expect(prepared.ofPortal('p')).toEqual(UNSEEN);
  });

  test('portals end with their transaction, statements do not', () => {
    const prepared = new TextsByName();
    prepared.parse('', text('select 1'));
    prepared.bind('', '');
    prepared.transactionEnded();
    expect([prepared.ofStatement(''), prepared.ofPortal(''), prepared.unnamed]).toEqual([
      text('select 1'),
      UNSEEN,
      true,
    ]);
  });

  test('a message that the server discards is undone, in whatever order answers come', () => {
    const prepared = new TextsByName();
    prepared.parse('s', text('first'));
    const change = prepared.parse('s', text('second'));
    change.dropped();
    expect(prepared.ofStatement('s')).toEqual(text('first'));
    const close = prepared.close('S', 's');
    close.dropped();
    expect(prepared.ofStatement('s')).toEqual(text('first'));
  });

  test('what was changed again since is not undone', () => {
    const prepared = new TextsByName();
    const change = prepared.parse('s', text('first'));
    prepared.parse('s', text('second'));
    change.dropped();
    expect(prepared.ofStatement('s')).toEqual(text('second'));
  });

  test('changes that are discarded one after the other leave the text before both, and a confirmed one stays', () => {
    const prepared = new TextsByName();
    prepared.parse('s', text('first')).closed();
    const [second, close, third] = [
      prepared.parse('s', text('second')),
      prepared.close('S', 's'),
      prepared.parse('s', text('third')),
    ];
    prepared.bind('p', 's');
    close.dropped();
    second.dropped();
    expect(prepared.ofStatement('s')).toEqual(text('third'));
    third.dropped();
    expect([prepared.ofStatement('s'), prepared.ofPortal('p')]).toEqual([text('first'), text('first')]);
    prepared.close('S', 's').closed();
    expect(prepared.ofStatement('s')).toEqual(UNSEEN);
  });

  test('a name is uncertain while a change of an earlier batch is not answered', () => {
    const batch = { syncs: 0 };
    const prepared = new TextsByName(batch);
    const parse = prepared.parse('s', text('first'));
    expect(prepared.isUncertain('S', 's')).toBe(false);
    batch.syncs = 1;
    expect([prepared.isUncertain('S', 's'), prepared.isUncertain('P', 's')]).toEqual([true, false]);
    parse.closed();
    expect(prepared.isUncertain('S', 's')).toBe(false);
  });

  test('10 000 names may be in use, and one of them may change', () => {
    const prepared = new TextsByName();
    for (let i = 0; i < 10_000; i += 1) prepared.parse(`s${i}`, text('x'));
    expect(() => prepared.parse('one more', text('x'))).toThrow(
      'more than 10000 prepared statements or portals',
    );
    prepared.parse('s1', text('another'));
    prepared.close('S', 's2');
    prepared.parse('one more', text('x'));
    expect(prepared.ofStatement('one more')).toEqual(text('x'));
  });
});

describe('statements of a session', () => {
  const statement = (bytes = 0): PreparedStatement => {
    const origin = { body: Buffer.alloc(bytes), settings: '', path: undefined, parsed: '' };
    return new PreparedStatement(origin, NO_EFFECTS, 0, true);
  };

  test('are bounded by their number', () => {
    const statements = new ClientStatements();
    for (let i = 0; i < 10_000; i += 1) statements.add(`s${i}`, statement());
    expect(() => statements.add('one more', statement())).toThrow('too many prepared statements');
    statements.remove('s1');
    statements.add('one more', statement());
    expect(statements.has('one more')).toBe(true);
  });

  test('are bounded by their bytes, which a removal, a restoration and a clear count', () => {
    const statements = new ClientStatements();
    const half = statement(16_777_216);
    statements.add('a', half);
    statements.add('b', half);
    expect(() => statements.add('c', statement(1))).toThrow('too many prepared statements');
    statements.remove('a');
    statements.restore('a', half);
    // It has this name already.
    statements.restore('a', half);
    expect(() => statements.add('c', statement(1))).toThrow('too many prepared statements');
    statements.remove('a');
    statements.remove('a');
    statements.add('c', half);
    expect(() => statements.add('d', statement(1))).toThrow('too many prepared statements');
    statements.clear();
    statements.add('d', half);
    statements.add('e', half);
  });

  test('a name that stands for another statement by now is neither removed nor restored', () => {
    const statements = new ClientStatements();
    const [before, now] = [statement(1), statement(2)];
    statements.add('s', now);
    statements.remove('s', before);
    statements.restore('s', before);
    expect(statements.get('s')).toBe(now);
    statements.remove('s', now);
    expect(statements.has('s')).toBe(false);
  });
});
