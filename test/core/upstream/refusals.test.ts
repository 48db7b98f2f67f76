/** What a client reads when there is no server connection for it, and what only the operator reads. */
import { describe, expect, test } from 'vitest';
import { parseRole } from '../../../core/contract/names.ts';
import { loginRoleOf } from '../../../core/upstream/credentials.ts';
import {
  certificateRefused,
  credentialsMissing,
  describeRefusal,
  identityRefused,
  innermost,
  loginRefused,
  refusedByServer,
  unreachable,
  whyNoCredentials,
} from '../../../core/upstream/refusals.ts';

const LOGIN_REFUSED = "the database refused the gateway's login";

describe('a refusal of the server at the login', () => {
  test.each([
    ['53300', 'sorry, too many clients already', '53300', 'sorry, too many clients already'],
    ['57P03', 'the database system is starting up', '57P03', 'the database system is starting up'],
    ['3D000', 'database "x" does not exist', '3D000', 'database "x" does not exist'],
    ['42501', 'permission denied for database "x"', '42501', 'permission denied for database "x"'],
    ['22023', 'invalid value', '22023', 'invalid value'],
    // These speak of the gateway's own login: its passwords, its certificates, pg_hba.conf.
    ['28P01', 'password authentication failed for user "writer"', '08004', LOGIN_REFUSED],
    ['28000', 'no pg_hba.conf entry for host "10.0.0.7"', '08004', LOGIN_REFUSED],
    ['XX000', 'could not open file "/etc/secret"', '08004', LOGIN_REFUSED],
    ['99999', 'of a newer server', '08004', LOGIN_REFUSED],
    ['', 'without a code', '08004', LOGIN_REFUSED],
    [undefined, undefined, '08004', LOGIN_REFUSED],
    ['53300', undefined, '53300', 'the database refused the connection'],
  ])('%s %s', (code, message, sqlstate, text) => {
    const error = refusedByServer({ code, message });
    expect([error.sqlstate, error.message]).toEqual([sqlstate, text]);
    expect(innermost(error)).toBe(describeRefusal({ code, message }));
  });

  test('is cut where a server is talkative', () => {
    const message = 'x'.repeat(100_000);
    expect(refusedByServer({ code: '53300', message }).message).toHaveLength(1_000);
    expect(describeRefusal({ code: '53300', message }).length).toBeLessThan(1_100);
  });
});

test('who the gateway is was refused by class 28 and by alerts about its certificate, and by nothing else', () => {
  const alert = (name: string): Error => Object.assign(new Error('tls'), { code: `ERR_SSL_${name}` });
  const wrapped = (error: Error): Error =>
    new Error('outer', { cause: new Error('inner', { cause: error }) });
  for (const name of [
    'TLSV1_ALERT_UNKNOWN_CA',
    'SSLV3_ALERT_BAD_CERTIFICATE',
    'SSLV3_ALERT_CERTIFICATE_EXPIRED',
    'TLSV1_ALERT_ACCESS_DENIED',
  ])
    expect([name, certificateRefused(alert(name)), identityRefused(wrapped(alert(name)))]).toEqual([
      name,
      true,
      true,
    ]);
  for (const name of [
    'WRONG_VERSION_NUMBER',
    'TLSV1_ALERT_PROTOCOL_VERSION',
    'SSLV3_ALERT_HANDSHAKE_FAILURE',
  ])
    expect([name, identityRefused(wrapped(alert(name)))]).toEqual([name, false]);
  expect(
    ['28P01', '28000', '53300', '57P03'].map((code) => identityRefused(refusedByServer({ code }))),
  ).toEqual([true, true, false, false]);
  for (const other of [undefined, 'text', new Error('28P01'), unreachable(new Error('ECONNREFUSED'))])
    expect(identityRefused(other)).toBe(false);
});

test('credentials that there are none of are told from refused ones, with the reason of whoever gives them', () => {
  const missing = credentialsMissing('no password for role "reader"', new Error('the vault is sealed'));
  expect([missing.sqlstate, missing.message]).toEqual([
    '08004',
    'the gateway could not get its credentials for the database',
  ]);
  expect(whyNoCredentials(missing)).toBe('no password for role "reader": the vault is sealed');
  expect(whyNoCredentials(credentialsMissing('none'))).toBe('none');
  expect(identityRefused(missing)).toBe(false);
  expect([loginRefused(new Error('x')), 'x', undefined].map(whyNoCredentials)).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test('no host, address or cause stands in what a client reads', () => {
  const error = unreachable(new Error('connect ECONNREFUSED 10.0.0.7:5432'));
  expect([error.sqlstate, error.message, error.detail, error.hint]).toEqual([
    '08001',
    'could not connect to the database',
    undefined,
    undefined,
  ]);
  expect(innermost(error)).toBe('connect ECONNREFUSED 10.0.0.7:5432');
  expect(innermost('a text')).toBe('unknown');
});

test('the login role of set-role may become all others, so nobody is mapped to it', () => {
  const login = { kind: 'set-role', user: 'postern', password: 'x', trustedSql: true } as const;
  expect(loginRoleOf(login, parseRole('reader'))).toBe('postern');
  expect(() => loginRoleOf(login, parseRole('postern'))).toThrow(
    'role "postern" may not be used through the gateway',
  );
  expect(loginRoleOf({ kind: 'trust' }, parseRole('postern'))).toBe('postern');
});
