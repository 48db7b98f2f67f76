/** Messages of clients as bytes: what is read of them, what is put in their place, and which are looked at at all. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MessageMask, isTooLong } from '../../../core/relay/statements/message-mask.ts';
import type { MessageMaskOptions } from '../../../core/relay/statements/message-mask.ts';
import { Op } from '../../../core/relay/requests/request-queue.ts';
import { MessageBuffer } from '../../../core/relay/message-buffer.ts';
import {
  isCutOff,
  nameIn,
  parseParts,
  renamedBind,
  renamedLongParse,
  renamedParse,
  statementIn,
} from '../../../core/relay/prepared/statement-names.ts';
import { injectError } from '../../../core/relay/statements/error-injection.ts';
import { Frontend } from '../../../core/wire/frames.ts';
import { frame } from '../../support/raw.ts';

const parse = (name: string, sql: string): Buffer => frame('P', name, sql, 0);
const bind = (portal: string, name: string): Buffer => frame('B', portal, name, 0, 0, 0);

describe('names', () => {
  test.each<[string, string | undefined, unknown]>([
    ['a Parse', nameIn(parse('s', 'select 1'), false), 's'],
    ['a Parse without a name', nameIn(parse('', 'select 1'), false), ''],
    ['a Bind', nameIn(bind('portal', 's'), true), 's'],
    ['a Bind without names', nameIn(bind('', ''), true), ''],
    ['a Bind that is cut behind its names', nameIn(bind('portal', 's').subarray(0, -6), true), 's'],
    [
      'a Bind that is cut within its name',
      nameIn(frame('B', 'portal', 'long').subarray(0, -2), true),
      undefined,
    ],
    ['a Bind without any zero byte', nameIn(frame('B', Buffer.from('abc')), true), undefined],
    ['bytes of another encoding', nameIn(frame('P', Buffer.from([0xe4, 0, 0, 0, 0])), false), 'ä'],
    ['a Describe of a statement', statementIn(frame('D', Buffer.from('Ss\0'))), 's'],
    ['a Describe of a portal', statementIn(frame('D', Buffer.from('Ps\0'))), undefined],
    ['a Close with something behind its name', statementIn(frame('C', Buffer.from('Ss\0x'))), undefined],
    ['a Close without its zero byte', statementIn(frame('C', Buffer.from('Ss'))), undefined],
  ])('of %s', (_, found, wanted) => {
    expect(found).toBe(wanted);
  });

  test('a Parse has its name and all behind it, or none where its lengths do not fit', () => {
    const whole = frame('P', 's', 'select $1', 1, Buffer.alloc(4));
    expect(parseParts(whole)).toEqual({
      name: 's',
      body: frame('x', 'select $1', 1, Buffer.alloc(4)).subarray(5),
    });
    for (let end = 5; end < whole.length; end += 1)
      expect(parseParts(whole.subarray(0, end))).toBeUndefined();
    expect(parseParts(Buffer.concat([whole, Buffer.alloc(1)]))).toBeUndefined();
  });

  test('a message under another name is the one that a client would have sent with it', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{0,20}$/), fc.stringMatching(/^[a-z]{0,20}$/), (name, own) => {
        const parts = parseParts(parse(name, 'select 1'));
        expect(renamedParse(own, parts?.body ?? Buffer.alloc(0))).toEqual(parse(own, 'select 1'));
        expect(renamedLongParse(parse(name, 'select 1'), own)).toEqual(parse(own, 'select 1'));
        expect(renamedBind(bind('portal', name), own)).toEqual(bind('portal', own));
      }),
    );
  });

  test('one that is cut off keeps the length of all of it', () => {
    const whole = parse('s', 'x'.repeat(1_000));
    const cut = renamedLongParse(whole.subarray(0, 100), 'other');
    expect([isCutOff(whole), isCutOff(cut), cut.readUInt32BE(1)]).toEqual([
      false,
      true,
      whole.length - 1 + 4,
    ]);
  });
});

describe('a refused message', () => {
  test.each([
    ['a Query', Op.query, frame('Q', 'select 1'), 'Q'],
    ['a Parse', Op.parse, parse('s', 'select 1'), 'P'],
    ['a Bind', Op.bind, bind('', 's'), 'B'],
    ['an Execute', Op.execute, frame('E', '', Buffer.alloc(4)), 'E'],
    ['a FunctionCall', Op.functionCall, frame('F', Buffer.alloc(10)), 'F'],
  ])('%s is replaced by one of its kind that fails, with nothing of it', (_, op, sent, type) => {
    const bytes = injectError(op, sent);
    expect([String.fromCharCode(bytes[0] ?? 0), bytes.readUInt32BE(1)]).toEqual([type, bytes.length - 1]);
    expect(bytes.includes('select 1')).toBe(false);
  });

  test('an unnamed Parse drops the unnamed statement, a named one leaves it and takes a name that is not guessed', () => {
    expect(nameIn(injectError(Op.parse, parse('', 'x')), false)).toBe('');
    const names = Array.from({ length: 50 }, () => nameIn(injectError(Op.parse, parse('s', 'x')), false));
    expect(new Set(names).size).toBe(50);
    for (const name of names) expect(name).toMatch(/^postern_[0-9a-f]{32}$/);
  });
});

describe('held bytes', () => {
  test('come out as they came in, however they were cut, and not before there are enough', () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 700 }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), chunks, fc.nat(5_000), (first, rest, needed) => {
        const held = new MessageBuffer();
        held.hold(Buffer.from(first), 0, needed);
        let all = Buffer.from(first);
        for (const chunk of rest) {
          const enough = held.add(Buffer.from(chunk));
          all = Buffer.concat([all, chunk]);
          expect(enough === undefined).toBe(all.length < needed);
          if (!enough) continue;
          expect(Buffer.compare(enough, all)).toBe(0);
          expect([held.length, held.bytes]).toEqual([0, undefined]);
          return;
        }
        expect(held.length).toBe(all.length);
        expect(Buffer.compare(held.take() ?? Buffer.alloc(0), all)).toBe(0);
        expect(held.take()).toBeUndefined();
      }),
    );
  });

  test('are a copy: what the socket reads into its buffer next does not change them', () => {
    const shared = Buffer.from('first');
    const held = new MessageBuffer();
    held.hold(shared, 0, 100);
    shared.fill('x');
    expect(String(held.take())).toBe('first');
  });
});

describe('the longest statement', () => {
  const LIMIT = 100;
  const long = (bytes: number): string => 'x'.repeat(bytes);
  const is = (message: Buffer, seen = message): boolean =>
    isTooLong(message[0] ?? 0, seen, message.length, LIMIT);
  test.each<[string, boolean, boolean]>([
    ['a Query at the limit', is(frame('Q', long(LIMIT))), false],
    ['a Query above it', is(frame('Q', long(LIMIT + 1))), true],
    [
      'a Parse at the limit, whatever its name and types take',
      is(frame('P', long(50), long(LIMIT), 9, Buffer.alloc(36))),
      false,
    ],
    ['a Parse above it', is(parse('', long(LIMIT + 1))), true],
    [
      'a Parse that is cut, with room for types',
      is(parse('', long(LIMIT + 1_000)), parse('', long(LIMIT + 1_000)).subarray(0, 50)),
      false,
    ],
    [
      'a Parse that is cut and too long whatever its types are',
      is(parse('', long(300_000)), parse('', long(300_000)).subarray(0, 65_536)),
      true,
    ],
    ['a Bind at the limit', is(frame('B', Buffer.alloc(LIMIT))), false],
    ['a Bind above it', is(frame('B', Buffer.alloc(LIMIT + 2))), true],
    [
      'a fresh token for the gateway, which may be longer',
      is(frame('Q', `set postern.token = '${long(LIMIT)}'`)),
      false,
    ],
    [
      'a command for the gateway that is too long for a token',
      is(frame('Q', `set postern.token = '${long(131_072)}'`)),
      true,
    ],
  ])('%s', (_, found, wanted) => {
    expect(found).toBe(wanted);
  });
});

describe('what is looked at', () => {
  const NOTHING: MessageMaskOptions = {
    asked: undefined,
    observed: false,
    statementsFrom: undefined,
    prepared: false,
    watched: false,
  };
  const letters = ({ wants }: MessageMask): string =>
    Object.values(Frontend)
      .filter((type) => wants[type] === 1)
      .map((type) => String.fromCharCode(type))
      .toSorted()
      .join('');
  test.each<[string, MessageMaskOptions, string]>([
    ['nothing is wanted', NOTHING, 'PQX'],
    ['a plugin is asked', { ...NOTHING, asked: 'sql' }, 'BCEFPQX'],
    ['an observer hears of ends', { ...NOTHING, observed: true }, 'BCEFPQSX'],
    ['an observer waits for a text', { ...NOTHING, observed: true, statementsFrom: 'x' }, 'PQX'],
    ['connections change hands', { ...NOTHING, prepared: true }, 'BCDFPQX'],
    ['a session is watched for what it leaves', { ...NOTHING, watched: true }, 'FPQX'],
    ['all of it', { ...NOTHING, asked: 'sql', observed: true, prepared: true }, 'BCDEFPQSX'],
  ])('where %s', (_, options, types) => {
    expect(letters(new MessageMask(options))).toBe(types);
  });

  test('all messages, or those with names, as long as the session needs it', () => {
    const messageMask = new MessageMask(NOTHING);
    messageMask.update(false, true);
    expect(letters(messageMask)).toBe('BCDEPQX');
    messageMask.update(true, false);
    expect(letters(messageMask)).toHaveLength(Object.values(Frontend).length);
    messageMask.update(false, false);
    expect(letters(messageMask)).toBe('PQX');
  });

  test('an observer that waits for a text wakes with the first statement that has it, and for good', () => {
    const messageMask = new MessageMask({ ...NOTHING, observed: true, statementsFrom: 'traceparent' });
    const traced = frame('Q', "select 1 /* traceparent='00' */");
    expect(messageMask.startsObserving(Frontend.query, frame('Q', 'select 1'))).toBe(false);
    expect(messageMask.startsObserving(Frontend.copyData, traced)).toBe(false);
    expect(messageMask.startsObserving(Frontend.query, traced)).toBe(true);
    expect([messageMask.observesStatements, messageMask.startsObserving(Frontend.query, traced)]).toEqual([
      true,
      false,
    ]);
    messageMask.update(false, false);
    expect(letters(messageMask)).toBe('BCEFPQSX');
  });

  test('sessions share their tables', () => {
    expect(new MessageMask(NOTHING).wants).toBe(new MessageMask(NOTHING).wants);
  });
});
