import { serialize } from 'pg-protocol';
import { describe, expect, test } from 'vitest';
import * as frontend from '../../../core/wire/frontend.ts';
import * as server from '../../../core/wire/to-server.ts';
import { refused } from './refused.ts';

/** A message of the gateway or of node-postgres, without its header. */
const body = (message: Buffer): Buffer => message.subarray(5);
const text = (parts: string): Buffer => Buffer.from(parts, 'latin1');

describe('what node-postgres sends is read', () => {
  test('Query', () => {
    const message = body(serialize.query('select ü'));
    expect(frontend.readQuery(message)).toBe('select ü');
    const { start, end } = frontend.querySlice(message);
    expect(message.toString('utf8', start, end)).toBe('select ü');
  });

  test('Parse', () => {
    const message = body(serialize.parse({ name: 'ä', text: 'select $1', types: [23, 4_294_967_295] }));
    expect(frontend.readParse(message)).toEqual({ name: 'ä', sql: 'select $1', types: [23, 4_294_967_295] });
    expect(frontend.parseName(message)).toBe('ä');
    const { start, end } = frontend.parseSlice(message);
    expect(message.toString('utf8', start, end)).toBe('select $1');
  });

  test('Bind, with text, binary and NULL', () => {
    const values = ['x', Buffer.from([0, 255]), null, ''];
    const message = body(serialize.bind({ portal: 'p', statement: 's', values, binary: true }));
    expect(frontend.readBind(message)).toEqual({
      portal: 'p',
      name: 's',
      formats: [0, 1, 0, 0],
      parameters: [Buffer.from('x'), Buffer.from([0, 255]), null, Buffer.alloc(0)],
      resultFormats: [1],
    });
    expect(frontend.bindNames(message)).toEqual({ portal: 'p', name: 's' });
  });

  test('Describe, Close and Execute', () => {
    expect(frontend.readDescribe(body(serialize.describe({ type: 'S', name: 'a' })))).toEqual({
      kind: 'S',
      name: 'a',
    });
    expect(frontend.readClose(body(serialize.close({ type: 'P', name: '' })))).toEqual({
      kind: 'P',
      name: '',
    });
    expect(frontend.readExecute(body(serialize.execute({ portal: 'p', rows: 7 })))).toEqual({
      portal: 'p',
      maxRows: 7,
    });
  });

  test('passwords and SASL responses', () => {
    expect(frontend.readPassword(body(serialize.password('tökén'))).toString()).toBe('tökén');
    const initial = body(serialize.sendSASLInitialResponseMessage('OAUTHBEARER', 'n,,'));
    expect(frontend.readSaslInitialResponse(initial)).toEqual({
      mechanism: 'OAUTHBEARER',
      response: text('n,,'),
    });
    expect(frontend.readSaslResponse(body(serialize.sendSCRAMClientFinalMessage('c=biws')))).toEqual(
      text('c=biws'),
    );
  });
});

describe('what we send is what node-postgres sends', () => {
  test.each<[string, Buffer, Buffer]>([
    ['Query', server.encodeQuery('select ü'), serialize.query('select ü')],
    ['Parse', server.encodeParse('n', 'select 1'), serialize.parse({ name: 'n', text: 'select 1' })],
    ['Describe', server.encodeDescribe('P', 'x'), serialize.describe({ type: 'P', name: 'x' })],
    ['Close', server.encodeClose('S', 'x'), serialize.close({ type: 'S', name: 'x' })],
    ['Execute', server.encodeExecute('x', 3), serialize.execute({ portal: 'x', rows: 3 })],
    ['Execute without limit', server.encodeExecute(''), serialize.execute()],
    ['CopyFail', server.encodeCopyFail('no'), serialize.copyFail('no')],
    ['PasswordMessage', server.encodePassword('pä'), serialize.password('pä')],
    [
      'SASLInitialResponse',
      server.encodeSaslInitialResponse('M', text('x')),
      serialize.sendSASLInitialResponseMessage('M', 'x'),
    ],
    ['SASLResponse', server.encodeSaslResponse(text('x')), serialize.sendSCRAMClientFinalMessage('x')],
    ['Sync', server.SYNC, serialize.sync()],
    ['Flush', server.FLUSH, serialize.flush()],
    ['Terminate', server.TERMINATE, serialize.end()],
    ['CopyDone', server.COPY_DONE, serialize.copyDone()],
  ])('%s', (_name, ours, theirs) => {
    expect(ours).toEqual(theirs);
  });

  test('Bind, whose formats node-postgres spells out', () => {
    expect(frontend.readBind(body(server.encodeBind('p', 's', ['ä', null, ''])))).toEqual({
      portal: 'p',
      name: 's',
      formats: [],
      parameters: [Buffer.from('ä'), null, Buffer.alloc(0)],
      resultFormats: [],
    });
  });

  test('FunctionCall', () => {
    expect(server.encodeFunctionCall(0).toString('hex')).toBe('460000000e00000000000000000000');
    expect(frontend.readFunctionCall(body(server.encodeFunctionCall(4_294_967_295)))).toEqual({
      oid: 4_294_967_295,
    });
  });

  test('a Parse with other SQL keeps the types of the original byte by byte', () => {
    const original = body(serialize.parse({ name: 'n', text: 'select 1', types: [23, 25] }));
    const { end } = frontend.parseSlice(original);
    const rewritten = server.encodeParse(
      frontend.parseName(original),
      'select 2',
      original.subarray(end + 1),
    );
    expect(rewritten).toEqual(serialize.parse({ name: 'n', text: 'select 2', types: [23, 25] }));
  });
});

test('a zero byte in a text is not sent, for it would write the next field', () => {
  const builders = [
    () => server.encodeQuery('a\0b'),
    () => server.encodeParse('a\0select 2', 'select 1'),
    () => server.encodeParse('', 'select 1\0'),
    () => server.encodeBind('a\0', ''),
    () => server.encodeExecute('a\0'),
    () => server.encodePassword('a\0'),
  ];
  for (const build of builders) expect(refused(build).code).toBe('protocol_violation');
});

describe('a PasswordMessage is exactly one string', () => {
  test.each(['', 'abc', 'abc\0\0', '\0abc', 'a\0b\0', 'abc\0x', '\0\0'])(
    '%j is refused as PostgreSQL does',
    (bytes) => {
      const message = 'invalid password packet size';
      expect(refused(() => frontend.readPassword(text(bytes)))).toMatchObject({ sqlstate: '08P01', message });
    },
  );

  test('an empty one is left to the caller', () => {
    expect(frontend.readPassword(text('\0'))).toHaveLength(0);
  });
});

test('a SASLInitialResponse may come without a response, which is not an empty one', () => {
  expect(frontend.readSaslInitialResponse(text('M\0\xff\xff\xff\xff')).response).toBeUndefined();
  expect(frontend.readSaslInitialResponse(text('M\0\0\0\0\0')).response).toHaveLength(0);
  refused(() => frontend.readSaslInitialResponse(text('M\0\xff\xff\xff\xfe')));
  refused(() => frontend.readSaslInitialResponse(text('M\0\0\0\0\0x')));
});

test('a Describe or Close of something else is refused naming its subtype', () => {
  const message = 'invalid CLOSE message subtype 88';
  expect(refused(() => frontend.readClose(text('Xa\0')))).toMatchObject({ sqlstate: '08P01', message });
  refused(() => frontend.readDescribe(text('s\0')));
});

test('a count is not believed: a Bind that announces 65535 parameters and has none is refused', () => {
  refused(() => frontend.readBind(text('\0\0\0\0\xff\xff\0\0')));
  refused(() => frontend.readBind(text('\0\0\xff\xff')));
  refused(() => frontend.readParse(text('\0\0\xff\xff\0\0\0\x01')));
});

test('65535 parameters are read, the most that there can be', () => {
  const parameters = Array.from({ length: 65_535 }, () => null);
  expect(frontend.readBind(body(server.encodeBind('', '', parameters))).parameters).toHaveLength(65_535);
});

test('a name that is not UTF-8 is refused: it and another one would be the same text', () => {
  const bad = '\xff\0';
  const readers = [
    () => frontend.parseName(text(bad)),
    () => frontend.readParse(text(`${bad}select 1\0\0\0`)),
    () => frontend.bindNames(text(`${bad}\0`)),
    () => frontend.bindNames(text(`\0${bad}`)),
    () => frontend.readBind(text(`\0${bad}\0\0\0\0\0\0`)),
    () => frontend.readDescribe(text(`S${bad}`)),
    () => frontend.readExecute(text(`${bad}\0\0\0\0`)),
  ];
  for (const read of readers) {
    expect(refused(read)).toMatchObject({
      sqlstate: '08P01',
      message: expect.stringContaining('not valid UTF-8'),
    });
  }
});

test('SQL that is not UTF-8, as a client in another encoding sends it, is still told, with U+FFFD', () => {
  expect(frontend.readQuery(text(`select '\xe9'\0`))).toBe(`select '\ufffd'`);
});
