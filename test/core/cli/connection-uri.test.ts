/** Connection URIs: what libpq reads in them, and that no message has a piece of one. */
import { describe, expect, test } from 'vitest';
import { parseConnectionUri } from '../../../core/cli/init/connection-uri.ts';
import { fromParameters } from '../../../core/cli/init/parameters.ts';

describe('a URI', () => {
  test.each([
    [
      'postgres://db.example/orders',
      [{ host: 'db.example', port: undefined }],
      'orders',
      undefined,
      undefined,
    ],
    ['postgresql://a@b:1/c', [{ host: 'b', port: 1 }], 'c', 'a', undefined],
    ['postgres://a:b%40%3A@c/d', [{ host: 'c', port: undefined }], 'd', 'a', 'b@:'],
    ['postgres://[::1]:5433/d', [{ host: '::1', port: 5433 }], 'd', undefined, undefined],
    [
      'postgres://a:1,b,c:3/d',
      [1, undefined, 3].map((port, n) => ({ host: 'abc'[n], port })),
      'd',
      undefined,
      undefined,
    ],
    ['postgres://%2Frun%2Fpg/d', [{ host: '/run/pg', port: undefined }], 'd', undefined, undefined],
    ['postgres:///d?host=/run/pg&port=5433', [{ host: '/run/pg', port: 5433 }], 'd', undefined, undefined],
    ['postgres:///d', [{ host: '', port: undefined }], 'd', undefined, undefined],
    ['postgres://', [{ host: '', port: undefined }], undefined, undefined, undefined],
    [
      'postgres://x/y?host=a,b&port=1,2&dbname=z&user=u&password=p',
      [
        { host: 'a', port: 1 },
        { host: 'b', port: 2 },
      ],
      'z',
      'u',
      'p',
    ],
    [
      'postgres://a,b/d?port=7',
      [
        { host: 'a', port: 7 },
        { host: 'b', port: 7 },
      ],
      'd',
      undefined,
      undefined,
    ],
    ['postgres://h/a%20b', [{ host: 'h', port: undefined }], 'a b', undefined, undefined],
  ])('%s', (uri, hosts, database, user, password) => {
    expect(parseConnectionUri(uri)).toMatchObject({ hosts, database, user, password });
  });

  test.each([
    ['mysql://u:s3cret@h/d', 'has to begin with postgres://'],
    ['host=h password=s3cret', 'has to begin with postgres://'],
    ['postgres://u:s3cret%zz@h/d', 'wrong %-escape in its password'],
    ['postgres://u:s3@cret@h/d', 'one inside a password is %40'],
    ['postgres://u:s3cret@h:99999/d', 'a port that is no number'],
    ['postgres://u:s3cret@h:s3cret/d', 'a port that is no number'],
    ['postgres://u:s3cret@[::1/d', 'bracket is not closed'],
    ['postgres://u:s3cret@[::1]x/d', 'something behind an IPv6 address'],
    ['postgres://u:s3cret@h/d?sslmode', 'a parameter without a value'],
    ['postgres://u:s3cret@h/d%00', 'a zero byte in its database'],
    ['postgres://u:s3cret@a,b/d?port=1,2,3', 'another number of ports'],
  ])('%s is wrong, and the message has nothing of it', (uri, why) => {
    const read = (): unknown => parseConnectionUri(uri);
    expect(read).toThrow(why);
    expect(read).not.toThrow(/s3cret|cret/);
  });
});

describe('parameters', () => {
  const of = (query: string): ReturnType<typeof fromParameters> =>
    fromParameters(parseConnectionUri(`postgres://h/d?${query}`).parameters);

  test.each([
    ['sslmode=verify-full', { mode: 'verify-full' }, []],
    ['sslmode=require', { mode: 'require' }, []],
    ['sslmode=disable&sslrootcert=a.pem', { mode: 'disable' }, []],
    ['sslmode=require&sslrootcert=a.pem', { mode: 'verify-ca', ca: 'a.pem' }, []],
    ['sslmode=verify-full&sslrootcert=system', { mode: 'verify-full' }, []],
    [
      'sslmode=prefer',
      undefined,
      ['sslmode=prefer falls back to a connection without TLS, which the gateway never does'],
    ],
    [
      'sslmode=allow',
      undefined,
      ['sslmode=allow falls back to a connection without TLS, which the gateway never does'],
    ],
    ['sslmode=s3cret', undefined, ['sslmode: the value is none that libpq has']],
  ])('%s', (query, tls, remarks) => {
    expect(of(query)).toMatchObject({ tls, remarks });
  });

  test.each([
    ['read-write', 'primary'],
    ['standby', 'replica'],
    ['prefer-standby', 'prefer-replica'],
    ['any', 'any'],
  ])('target_session_attrs=%s is target %s', (given, target) => {
    expect(of(`target_session_attrs=${given}`).target).toBe(target);
  });

  test('what is sent to the server is a default, and each other one has a sentence', () => {
    expect(of('application_name=a&client_encoding=UTF8&sslkey=k&bogus=1')).toEqual({
      tls: undefined,
      target: undefined,
      defaults: { application_name: 'a', client_encoding: 'UTF8' },
      remarks: [
        "sslkey: the gateway makes certificates for roles by login: { kind: 'certificate', ca, key }",
        'bogus: has no equivalent',
      ],
    });
  });
});
