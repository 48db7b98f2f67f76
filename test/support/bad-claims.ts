/** Well signed tokens whose claims must be refused. */
import { encode, now } from './token.ts';
import type { Forger, Members, Row } from './forger.ts';

/** Each gives rows of bad tokens. */
export const CLAIM_TABLES = [times, names, payloads, bindings] as const;

function times(f: Forger): Row[] {
  const { header, claims } = f;
  const at = (more: Members) => f.signed(header, { ...claims, ...more });
  const raw = (exp: string) =>
    f.signed(header, JSON.stringify({ ...claims, exp: 0 }).replace('"exp":0', `"exp":${exp}`));
  return [
    ['no exp', at({ exp: undefined }), 'it would never end'],
    ['exp as a text', at({ exp: String(now() + 300) }), 'a number is needed (RFC 7519, 2)'],
    ['exp null', at({ exp: null }), 'a number is needed'],
    ['exp as a list', at({ exp: [now() + 300] }), 'a number is needed'],
    ['exp true', at({ exp: true }), 'a number is needed'],
    ['exp in the year 9999', at({ exp: 253_402_300_799 }), 'it lives longer than is allowed'],
    ['exp beyond every date', raw('1e300'), 'it lives longer than is allowed'],
    ['exp overflowing to infinity', raw('1e400'), 'it would never end'],
    ['exp in milliseconds', at({ exp: Date.now() + 300_000 }), 'it lives longer than is allowed'],
    [
      'far exp without iat',
      at({ iat: undefined, exp: now() + 2 * 86_400 }),
      'iat must not be a way around the limit',
    ],
    ['exp a second ago', at({ iat: now() - 60, exp: now() - 1 }), 'it has expired'],
    ['exp an hour ago', at({ iat: now() - 7_200, exp: now() - 3_600 }), 'it has expired'],
    ['exp before 1970', at({ iat: -600, exp: -300 }), 'it has expired'],
    ['exp zero', at({ exp: 0 }), 'it has expired'],
    ['nbf in an hour', at({ nbf: now() + 3_600 }), 'it is not good yet'],
    ['nbf as a text', at({ nbf: '0' }), 'a number is needed'],
    ['iat in an hour', at({ iat: now() + 3_600, exp: now() + 3_700 }), 'a clock or a signer is wrong'],
    ['iat as a text', at({ iat: 'now' }), 'a number is needed'],
    [
      'iat overflowing',
      f.signed(header, JSON.stringify({ ...claims, iat: 0 }).replace('"iat":0', '"iat":-1e400')),
      'nor this',
    ],
  ];
}

function names(f: Forger): Row[] {
  const { header, claims, good } = f;
  const to = (more: Members) => f.signed(header, { ...claims, ...more });
  const exact = 'names are compared character by character (RFC 7519, 4.1.1)';
  const subject = 'somebody must be named';
  return [
    ['another iss', to({ iss: 'https://evil.example' }), 'the issuer is not configured'],
    ['iss with a slash more', to({ iss: `${good.issuer}/` }), exact],
    ['iss in capitals', to({ iss: good.issuer.toUpperCase() }), exact],
    ['iss as a list', to({ iss: [good.issuer] }), 'a list may name two'],
    ['iss as an object', to({ iss: { toString: good.issuer } }), exact],
    ['iss named like a member of every object', to({ iss: 'constructor' }), 'the issuer is not configured'],
    ['no iss', to({ iss: undefined }), 'the issuer is not guessed'],
    ['iss null', to({ iss: null }), 'the issuer is not guessed'],
    ['another aud', to({ aud: 'billing' }), 'it was made for another service (RFC 8725, 2.7)'],
    ['aud as a prefix', to({ aud: good.audience.slice(0, -1) }), exact],
    ['no aud', to({ aud: undefined }), 'it was made for nobody or everybody'],
    ['aud empty', to({ aud: [] }), 'it was made for nobody'],
    ['aud with a number', to({ aud: [good.audience, 1] }), 'texts are needed'],
    ['aud as an object', to({ aud: { 0: good.audience } }), 'texts are needed'],
    ['no sub', to({ sub: undefined }), subject],
    ['sub empty', to({ sub: '' }), subject],
    ['sub null', to({ sub: null }), subject],
    ['sub as a number', to({ sub: 1 }), subject],
    ['sub as a list', to({ sub: ['alice'] }), subject],
    ['sub with a zero byte', to({ sub: 'alice\0' }), 'texts end there in C'],
    ['sub with a line break', to({ sub: 'alice\n{"level":30}' }), 'it would forge a log line'],
    [
      'sub that turns the direction of writing',
      to({ sub: 'ecila\u202e' }),
      'the audit trail would show another name',
    ],
    [
      'sub with half a character',
      f.signed(header, JSON.stringify({ ...claims, sub: '\ud800' })),
      'it has no UTF-8',
    ],
    ['jti as a number', to({ jti: 1 }), 'revocation would not find it'],
  ];
}

function payloads(f: Forger): Row[] {
  const { header, claims } = f;
  const body = JSON.stringify(claims);
  const nothing = 'not a set of claims';
  return [
    [
      'a name twice',
      f.signed(header, `{"sub":"root",${body.slice(1)}`),
      'parsers disagree on which counts (RFC 7519, 4)',
    ],
    [
      'a name twice, once in disguise',
      f.signed(header, `{"\\u0073ub":"root",${body.slice(1)}`),
      'parsers disagree',
    ],
    ['a nested name twice', f.signed(header, `{"a":{"b":1,"b":2},${body.slice(1)}`), 'parsers disagree'],
    [
      'not UTF-8',
      f.signed(header, Buffer.from(body.replace('alice', 'al\u00efce'), 'latin1')),
      'texts would differ by reader',
    ],
    ['a byte order mark', f.signed(header, `\ufeff${body}`), 'not JSON (RFC 8259, 8.1)'],
    ['UTF-16', f.signed(header, Buffer.from(body, 'utf16le')), 'not UTF-8'],
    [
      'nested 2000 deep',
      f.signed(header, `{"a":${'['.repeat(2_000)}${']'.repeat(2_000)},${body.slice(1)}`),
      'it costs the event loop',
    ],
    ['a list', f.signed(header, [claims]), nothing],
    ['null', f.signed(header, 'null'), nothing],
    ['an empty object', f.signed(header, {}), nothing],
    ['an empty payload', `${encode(header)}..${'A'.repeat(86)}`, nothing],
    ['something behind the object', f.signed(header, `${body}{}`), nothing],
    ['single quotes', f.signed(header, body.replaceAll('"', "'")), nothing],
    ['a token over 16 KiB', f.signed(header, { ...claims, x: 'x'.repeat(13_000) }), 'longer than allowed'],
    ['a token of 60 KB', f.signed(header, { ...claims, x: 'x'.repeat(45_000) }), 'longer than allowed'],
  ];
}

function bindings(f: Forger): Row[] {
  const to = (more: Members) => f.signed(f.header, { ...f.claims, ...more });
  const unbound = 'the connection cannot prove it (RFC 8705, 3)';
  const rules = 'a rule that is not understood may forbid';
  return [
    ['bound to a certificate', to({ cnf: { 'x5t#S256': encode(Buffer.alloc(32)) } }), unbound],
    ['bound to a DPoP key', to({ cnf: { jkt: encode(Buffer.alloc(32)) } }), unbound],
    ['bound to nothing known', to({ cnf: {} }), unbound],
    ['bound to null', to({ cnf: null }), unbound],
    ['bound to a key', to({ cnf: { jwk: f.good.publicKey('ES256').export({ format: 'jwk' }) } }), unbound],
    ['an unknown rule', to({ postern: { max_conections: 1 } }), rules],
    ['rules as a text', to({ postern: '{}' }), rules],
    ['rules null', to({ postern: null }), rules],
    ['databases as a text', to({ postern: { databases: 'orders' } }), rules],
    ['max_connections as a text', to({ postern: { max_connections: '5' } }), rules],
    ['max_connections below one', to({ postern: { max_connections: 0 } }), rules],
    ['a network that is none', to({ postern: { cidrs: ['10.0.0.0/33'] } }), rules],
    ['a window in no time zone', to({ postern: { windows: [window({ tz: 'Mars/Base' })] } }), rules],
    ['a window on no day', to({ postern: { windows: [window({ days: ['monday'] })] } }), rules],
    ['a window with a member more', to({ postern: { windows: [window({ until: '2030' })] } }), rules],
    ['a window without an end', to({ postern: { windows: [window({ to: undefined })] } }), rules],
    ['a rate of something unknown', to({ postern: { rate: { rows: '5/s' } } }), rules],
    ['a rate of nothing', to({ postern: { rate: { statements: '0/s' } } }), rules],
    ['a rate without a unit', to({ postern: { rate: { statements: 200 } } }), rules],
    ['a duration without a unit', to({ postern: { max_session_duration: 3_600 } }), rules],
  ];
}

function window(more: Members): Members {
  return { days: ['mon'], from: '08:00', to: '18:00', tz: 'Europe/Berlin', ...more };
}
