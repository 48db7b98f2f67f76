/** Tokens that must never open a session: malformed, hostile, or good for somebody else. */
import { createHmac } from 'node:crypto';
import { CLAIM_TABLES } from './bad-claims.ts';
import { forger } from './forger.ts';
import type { Forger, Members, Row } from './forger.ts';
import { encode, forge, issuer } from './token.ts';
import type { Algorithm, TokenIssuer } from './token.ts';

/** One token that is to be refused. All can be sent as a password: none is empty or has a zero byte. */
export interface BadToken {
  readonly name: string;
  readonly token: string;
  /** What would go wrong if it passed. */
  readonly why: string;
}

function hmac(f: Forger, secret: string | Buffer): string {
  const input = `${encode({ ...f.header, alg: 'HS256', kid: f.good.kid('RS256') })}.${encode(f.claims)}`;
  return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
}

function algorithms(f: Forger): Row[] {
  const { header, claims, good } = f;
  const none = (alg: string): Row => [
    `alg ${alg}, no signature`,
    `${encode({ ...header, alg })}.${encode(claims)}.`,
    'anyone could write it (RFC 8725, 2.1)',
  ];
  const unsigned = (alg: unknown): Row => [
    `alg ${JSON.stringify(alg)}, true signature`,
    f.signed({ ...header, alg }, claims),
    'algorithms are compared exactly (RFC 7515, 4.1.1)',
  ];
  const rsa = good.publicKey('RS256');
  const confusion = 'a public key is no secret (CVE-2015-9235)';
  return [
    ...['none', 'None', 'NONE', 'nOnE'].map(none),
    ...[
      'none',
      '',
      'es256',
      'ES256 ',
      'ES256K',
      'HS256',
      'ES384',
      null,
      256,
      ['ES256'],
      { alg: 'ES256' },
    ].map(unsigned),
    ['no alg', f.signed({ ...header, alg: undefined }, claims), 'the header decides nothing by silence'],
    ['HS256 with the public key as PEM', hmac(f, rsa.export({ format: 'pem', type: 'spki' })), confusion],
    ['HS256 with the public key as DER', hmac(f, rsa.export({ format: 'der', type: 'spki' })), confusion],
    ['HS256 with the public key as JWK', hmac(f, JSON.stringify(rsa.export({ format: 'jwk' }))), confusion],
    ['HS256 with an empty secret', hmac(f, ''), confusion],
    ['PS256 signed with RS256', mislabelled(f, 'PS256', 'RS256'), 'padding is part of the algorithm'],
  ];
}

function mislabelled(f: Forger, said: Algorithm, used: Algorithm): string {
  return forge({ ...f.header, alg: said, kid: f.good.kid(said) }, f.claims, used, f.good.privateKey(used));
}

function keys(f: Forger): Row[] {
  const { header, claims, good } = f;
  const own = issuer({ issuer: good.issuer, audience: good.audience, algorithms: ['ES256'] });
  const foreign = (more: Members) => forge({ ...header, ...more }, claims, 'ES256', own.privateKey('ES256'));
  const jwk = own.publicKey('ES256').export({ format: 'jwk' });
  const embedded = 'keys come from the config alone (RFC 8725, 2.8)';
  const opaque = 'a kid is a map key and nothing else';
  const kid = (value: unknown): Row => [
    `kid ${JSON.stringify(value).slice(0, 30)}`,
    f.signed({ ...header, kid: value }, claims),
    opaque,
  ];
  return [
    ['the key of somebody else', foreign({}), 'the signature is the proof'],
    ['an unknown kid', foreign({ kid: 'of-mine' }), 'the key is not the issuer’s'],
    ['no kid', f.signed({ ...header, kid: undefined }, claims), 'which of several keys is not guessed'],
    [
      'the kid of another algorithm',
      f.signed({ ...header, kid: good.kid('RS256') }, claims),
      'key and algorithm must fit',
    ],
    ...[
      '',
      'x'.repeat(300),
      '../../../etc/passwd',
      "' or 1=1 --",
      'https://evil.example/key',
      1,
      null,
      ['a'],
    ].map(kid),
    ['an embedded jwk', foreign({ jwk, kid: undefined }), embedded],
    ['an embedded jwk under a known kid', foreign({ jwk }), embedded],
    ['a jku', foreign({ jku: 'https://evil.example/jwks.json', kid: own.kid('ES256') }), embedded],
    ['an x5u', foreign({ x5u: 'https://evil.example/chain.pem' }), embedded],
    ['an x5c', foreign({ x5c: ['MIIB'] }), embedded],
  ];
}

function headers(f: Forger): Row[] {
  const { header, claims } = f;
  const unsupported = 'what it asks for is not done (RFC 7515, 4.1.11)';
  const kind = 'it was made for another purpose (RFC 8725, 2.8)';
  const saying = (more: Members) => f.signed({ ...header, ...more }, claims);
  return [
    ['an unknown crit', saying({ crit: ['exp'], exp: 1 }), unsupported],
    ['an empty crit', saying({ crit: [] }), unsupported],
    ['b64 false', saying({ crit: ['b64'], b64: false }), 'signature and payload would differ (RFC 7797)'],
    ['b64 false without crit', saying({ b64: false }), 'signature and payload would differ'],
    ['zip', saying({ zip: 'DEF' }), unsupported],
    [
      'a token inside a token',
      f.signed({ ...header, cty: 'JWT' }, f.signed(header, claims)),
      'nested tokens are not read',
    ],
    ['cty JWT', saying({ cty: 'JWT' }), 'nested tokens are not read'],
    ['typ dpop+jwt', saying({ typ: 'dpop+jwt' }), kind],
    ['typ logout+jwt', saying({ typ: 'logout+jwt' }), kind],
    ['typ as a list', saying({ typ: ['JWT'] }), kind],
    ['a header that is a list', f.signed([header], claims), 'not a token'],
    ['a header that is a text', f.signed('"ES256"', claims), 'not a token'],
    [
      'a name twice in the header',
      f.signed(`{"alg":"none",${JSON.stringify(header).slice(1)}`, claims),
      'parsers disagree',
    ],
    [
      'a header nested 50 deep',
      saying({ x: JSON.parse(`${'['.repeat(50)}${']'.repeat(50)}`) }),
      'it costs time before the proof',
    ],
    ['a header of 9 KB', saying({ x: 'x'.repeat(9_000) }), 'it costs time before the proof'],
  ];
}

function shapes(f: Forger): Row[] {
  const good = f.signed(f.header, f.claims);
  const [header = '', claims = '', mark = ''] = good.split('.');
  const not = 'not a token';
  const spelling = 'one token has one spelling (RFC 7515, 2)';
  const changed = 'the signature covers every byte';
  const flipped = Buffer.from(mark, 'base64url');
  flipped[10] = (flipped[10] ?? 0) ^ 1;
  const other = encode({ ...f.claims, sub: 'root' });
  return [
    ['a word', 'hunter2', not],
    ['two parts', `${header}.${claims}`, not],
    ['one dot', '.', not],
    ['two dots', '..', not],
    ['four parts', `${good}.${mark}`, not],
    ['five parts (JWE)', `${good}.${mark}.${mark}`, 'encrypted tokens are not read'],
    [
      'five parts with the header of a JWE',
      `${encode({ alg: 'RSA-OAEP', enc: 'A256GCM' })}.a.b.c.d`,
      'encrypted tokens are not read',
    ],
    [
      'a header of a JWE on three parts',
      f.signed({ ...f.header, enc: 'A256GCM' }, f.claims),
      'encrypted tokens are not read',
    ],
    ['no signature', `${header}.${claims}.`, changed],
    ['half a signature', `${header}.${claims}.${mark.slice(0, 43)}`, changed],
    ['one bit of the signature flipped', `${header}.${claims}.${flipped.toString('base64url')}`, changed],
    ['a signature of zeros', `${header}.${claims}.${encode(Buffer.alloc(64))}`, 'CVE-2022-21449'],
    ['other claims under the signature', `${header}.${other}.${mark}`, changed],
    [
      'the signature of another token',
      `${header}.${claims}.${f.good.sign({ sub: 'bob' }).split('.')[2]}`,
      changed,
    ],
    ['a signature in DER', derSigned(f), 'ECDSA signatures are raw (RFC 7518, 3.4)'],
    ['a space before', ` ${good}`, spelling],
    ['a line break behind', `${good}\n`, spelling],
    ['a line break inside', `${header}.${claims}\n.${mark}`, spelling],
    ['a tab between', `${header}\t.${claims}.${mark}`, spelling],
    ['Bearer before', `Bearer ${good}`, spelling],
    ['quotes around', `"${good}"`, spelling],
    ['padding', `${header}.${claims}.${mark}==`, spelling],
    [
      'the base64 alphabet',
      f
        .signed(f.header, { ...f.claims, x: '~~~???>>>' })
        .replaceAll('-', '+')
        .replaceAll('_', '/')
        .concat('+'),
      spelling,
    ],
    [
      'spare bits set in the last character',
      `${header}.${claims}.${mark.slice(0, -1)}${nextLetter(mark)}`,
      spelling,
    ],
    [
      'JSON serialization',
      JSON.stringify({ protected: header, payload: claims, signature: mark }),
      'only the compact form is read',
    ],
    ['a zero-width space', `${good}\u200b`, spelling],
    ['Cyrillic letters that look alike', `\u0435${good.slice(1)}`, spelling],
  ];
}

function derSigned(f: Forger): string {
  const input = `${encode(f.header)}.${encode(f.claims)}`;
  const raw = Buffer.from(
    forge(f.header, f.claims, 'ES256', f.good.privateKey('ES256')).split('.')[2] ?? '',
    'base64url',
  );
  const integer = (bytes: Buffer) => Buffer.concat([Buffer.from([2, bytes.length + 1, 0]), bytes]);
  const body = Buffer.concat([integer(raw.subarray(0, 32)), integer(raw.subarray(32))]);
  return `${input}.${encode(Buffer.concat([Buffer.from([0x30, body.length]), body]))}`;
}

/** The last of 86 characters carries two bits of the signature and four that mean nothing. */
function nextLetter(mark: string): string {
  return ({ A: 'B', Q: 'R', g: 'h', w: 'x' } as Record<string, string>)[mark.at(-1) ?? ''] ?? '!';
}

/** Everything that must be refused by a gateway that trusts `good` with default options. `good` needs ES256, RS256, PS256. */
export function badTokens(good: TokenIssuer): readonly BadToken[] {
  const f = forger(good);
  const tables = [algorithms, keys, headers, shapes, ...CLAIM_TABLES];
  return tables.flatMap((table) => table(f)).map(([name, token, why]) => ({ name, token, why }));
}
