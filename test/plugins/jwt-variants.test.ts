/** Other texts of one token: an ECDSA signature has a twin that is as good, and no other change to a good token is. */
import { describe, expect, test } from 'vitest';
import { jwt } from '../../plugins/jwt/index.ts';
import { RememberedTokens } from '../../plugins/jwt/remembered.ts';
import type { Verified } from '../../plugins/jwt/remembered.ts';
import { limits } from '../../plugins/limits/index.ts';
import { ALGORITHMS, issuer } from '../support/token.ts';
import type { Algorithm } from '../support/token.ts';
import { host, refusalOf } from './gateway.ts';
import { errorOf, session, tokenGateway } from './token-sessions.ts';

const good = issuer();

/** Orders of the curves (SEC 2 §2.4.2, §2.5.1, §2.6.1). */
const ORDERS = {
  ES256: 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551',
  ES384: `${'f'.repeat(48)}c7634d81f4372ddf581a0db248b0a77aecec196accc52973`,
  ES512: `01${'f'.repeat(65)}a51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`,
} as const;
type Ecdsa = keyof typeof ORDERS;
const ECDSA = Object.keys(ORDERS) as Ecdsa[];
/** Order of the base point of Ed25519 (RFC 8032 §5.1). */
const ED25519 = 2n ** 252n + 27742317777372353535851937790883648493n;

const big = (bytes: Buffer): bigint => BigInt(`0x${bytes.toString('hex') || '0'}`);
const bytesOf = (value: bigint, length: number): Buffer | undefined => {
  const hex = value.toString(16);
  return hex.length > 2 * length ? undefined : Buffer.from(hex.padStart(2 * length, '0'), 'hex');
};

function resigned(token: string, change: (mark: Buffer) => Buffer | undefined): string | undefined {
  const [header, claims, mark = ''] = token.split('.');
  const changed = change(Buffer.from(mark, 'base64url'));
  return changed && `${header}.${claims}.${changed.toString('base64url')}`;
}

/** The same token with (r, n - s). */
function twin(token: string, alg: Ecdsa): string {
  const made = resigned(token, (mark) => {
    const half = mark.length / 2;
    const s = bytesOf(BigInt(`0x${ORDERS[alg]}`) - big(mark.subarray(half)), half);
    return s && Buffer.concat([mark.subarray(0, half), s]);
  });
  if (made === undefined || made === token) throw new Error('no twin');
  return made;
}

/** What somebody who has the token, and not the key, could try as a third text. */
function others(token: string, alg: Algorithm): readonly (readonly [string, string | undefined])[] {
  const ecdsa = ECDSA.find((name) => name === alg);
  const n = ecdsa ? BigInt(`0x${ORDERS[ecdsa]}`) : alg.startsWith('Ed') ? ED25519 : modulus(alg);
  const little = (bytes: Buffer): Buffer => (alg.startsWith('Ed') ? Buffer.from(bytes.toReversed()) : bytes);
  const added = (from: number, to: number) => (mark: Buffer) => {
    const value = bytesOf(big(little(mark.subarray(from, to))) + n, to - from);
    return value && Buffer.concat([mark.subarray(0, from), little(value), mark.subarray(to)]);
  };
  const length = Buffer.from(token.split('.')[2] ?? '', 'base64url').length;
  const start = ecdsa || alg.startsWith('Ed') ? length / 2 : 0;
  const parts = token.split('.');
  return [
    ['the order added to s', resigned(token, added(start, length))],
    ['the order added to r', ecdsa && resigned(token, added(0, length / 2))],
    ['a zero before', resigned(token, (mark) => Buffer.concat([Buffer.alloc(1), mark]))],
    ['a zero behind', resigned(token, (mark) => Buffer.concat([mark, Buffer.alloc(1)]))],
    ['the first byte left out', resigned(token, (mark) => mark.subarray(1))],
    ...parts.flatMap((part, index) =>
      spelled(part).map(
        ([how, text]) => [`part ${index}: ${how}`, parts.with(index, text).join('.')] as const,
      ),
    ),
  ];
}

/** A token whose signature begins with a zero byte, as one in 256 does. */
function withLeadingZero(alg: Algorithm): string {
  for (let id = 0; id < 20_000; id += 1) {
    const token = good.sign({ jti: `${id}` }, { alg });
    if (Buffer.from(token.split('.')[2] ?? '', 'base64url')[0] === 0) return token;
  }
  throw new Error('no signature begins with a zero byte');
}

function modulus(alg: Algorithm): bigint {
  return big(Buffer.from(good.publicKey(alg).export({ format: 'jwk' }).n ?? '', 'base64url'));
}

/** Texts that careless decoders read as the same bytes (RFC 4648 §3.5, §12). */
function spelled(part: string): readonly (readonly [string, string])[] {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  const last = alphabet.indexOf(part.at(-1) ?? '');
  const texts: (readonly [string, string])[] = [
    ['padding', `${part}=`],
    ['a line break behind', `${part}\n`],
    ['a blank inside', `${part.slice(0, 4)} ${part.slice(4)}`],
  ];
  const spare = [0, 0, 4, 2][part.length % 4] ?? 0;
  if (spare > 0) texts.push(['spare bits', part.slice(0, -1) + (alphabet[last + 1] ?? '')]);
  const plain = part.replaceAll('-', '+').replaceAll('_', '/');
  if (plain !== part) texts.push(['the base64 alphabet', plain]);
  return texts;
}

const verified = (): Verified => ({
  identity: { issuer: 'i', subject: 's', expiresAt: new Date(Date.now() + 60_000), claims: {} },
  rules: {},
});
const always = (): Promise<boolean> => Promise.resolve(true);

describe.each(ECDSA)('a token signed with %s', (alg) => {
  test('has a twin that is as good: issuers send either', async () => {
    const running = await host([jwt({ issuers: [good.options] })]);
    const token = good.sign({ jti: 'a' }, { alg });
    for (const text of [token, twin(token, alg), token]) {
      expect((await running.login({ token: text })).facts.identity).toMatchObject({
        subject: 'alice',
        tokenId: 'a',
      });
    }
    await running.stop();
  });

  test('takes one place among the remembered ones, whichever of its texts come', async () => {
    const remembered = new RememberedTokens(2);
    const [first, second] = [good.sign({}, { alg }), good.sign({ sub: 'bob' }, { alg })];
    const known = verified();
    remembered.add(first, known, always);
    for (let round = 0; round < 3; round += 1) {
      for (const text of [second, twin(second, alg)]) remembered.add(text, verified(), always);
    }
    expect((await remembered.find(first))?.rules).toBe(known.rules);
    expect(await remembered.find(twin(second, alg))).toBeDefined();
  });

  test('is remembered by the text that was verified, and not by its signed part', async () => {
    const remembered = new RememberedTokens();
    const token = good.sign({}, { alg });
    remembered.add(token, verified(), always);
    expect(await remembered.find(twin(token, alg))).toBeUndefined();
    const forged = resigned(token, (mark) => mark.fill(1)) ?? '';
    expect(await remembered.find(forged)).toBeUndefined();
    expect(await remembered.find(token)).toBeDefined();
  });

  test('is taken back with its twin', async () => {
    const running = await host([jwt({ issuers: [good.options] })]);
    const token = good.sign({ jti: 'stolen' }, { alg });
    await running.login({ token });
    await running.service('revocations')?.revoke({ tokenId: 'stolen' });
    for (const text of [token, twin(token, alg)]) {
      expect((await refusalOf(running.login({ token: text }))).sqlstate).toBe('28P01');
    }
    await running.stop();
  });
});

test('a token and its twin are counted together', async () => {
  const gateway = await tokenGateway({
    jwt: { issuers: [good.options] },
    plugins: [limits({ maxConnections: { subject: 1 } })],
  });
  const token = good.sign({}, { alg: 'ES256' });
  await session(gateway, token);
  for (const text of [token, twin(token, 'ES256')]) {
    expect((await errorOf(session(gateway, text))).code).toBe('53300');
  }
});

test.each(['RS256', 'PS256'] as const)(
  'a leading zero of a signature by %s may not be left out',
  async (alg) => {
    const running = await host([jwt({ issuers: [good.options] })]);
    const token = withLeadingZero(alg);
    await running.login({ token });
    const shorter = resigned(token, (mark) => mark.subarray(1)) ?? '';
    expect((await refusalOf(running.login({ token: shorter }))).sqlstate).toBe('28P01');
    await running.stop();
  },
);

describe.each(ALGORITHMS)('a token signed with %s has no further text', (alg) => {
  const token = good.sign({ x: '~~~???>>>' }, { alg });
  const texts = others(token, alg).filter(([, text]) => text !== undefined);

  test.each(texts)('%s', async (_how, text = '') => {
    const running = await host([jwt({ issuers: [good.options] })]);
    await running.login({ token });
    expect((await refusalOf(running.login({ token: text }))).sqlstate).toBe('28P01');
    await running.stop();
  });
});
