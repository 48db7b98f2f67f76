/** SCRAM as a server speaks it: the example of the RFC, the order of its messages, and any bytes at all. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ScramClient } from '../../../core/wire/scram.ts';
import { ScramServer, scramMechanisms } from '../../../core/wire/scram-server.ts';
import type { ScramServerOptions } from '../../../core/wire/scram-server.ts';
import { parseClientFinal, parseClientFirst } from '../../../core/wire/scram-responses.ts';
import { makeScramVerifier, mockScramVerifier } from '../../../core/wire/scram-verifier.ts';
import { proofOf } from '../../support/scram-dialogue.ts';
import { attempt, refused } from './refused.ts';

const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');
const SALT = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
const END_POINT = Buffer.alloc(32, 7);
const pencil = makeScramVerifier('pencil', 4096, SALT);

function server(options: Partial<ScramServerOptions> = {}): ScramServer {
  return new ScramServer({ mechanism: 'SCRAM-SHA-256', ...options });
}

/** Runs a login of our own client against our own server. */
async function logIn(password: string, endPoint?: Buffer, mock = false): Promise<boolean> {
  const client = new ScramClient({ password, offered: scramMechanisms(endPoint), channelBinding: endPoint });
  const side = server({ mechanism: client.mechanism, endPoint });
  side.first(client.clientFirst());
  const challenge = side.challenge(mock ? mockScramVerifier(SALT, 'x', 4096) : await pencil, mock);
  const last = side.final(await client.continue(challenge));
  if (last) client.finish(last);
  return last !== undefined;
}

describe('the example of RFC 7677', () => {
  const FIRST = 'n,,n=user,r=rOprNGfwEbeRWgbNEkqO';
  const CHALLENGE = 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096';
  const FINAL =
    'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=';
  const rfc = (): ScramServer => server({ nonce: '%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0' });

  test('comes out byte by byte', async () => {
    const side = rfc();
    side.first(latin1(FIRST));
    expect(side.challenge(await pencil).toString()).toBe(CHALLENGE);
    expect(side.final(latin1(FINAL))?.toString()).toBe('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=');
  });

  test('with another proof, or with a mock, has no end', async () => {
    for (const [final, mock] of [
      [FINAL.replace('p=d', 'p=e'), false],
      [FINAL, true],
    ] as const) {
      const side = rfc();
      side.first(latin1(FIRST));
      side.challenge(await pencil, mock);
      expect(side.final(latin1(final))).toBeUndefined();
    }
  });

  test('with another name and extensions is the same to us, but not to the proof', async () => {
    const side = rfc();
    const bare = 'n=n\xe4me=2C,r=rOprNGfwEbeRWgbNEkqO,x=\xff';
    side.first(latin1(`n,,${bare}`));
    const challenge = side.challenge(await pencil).toString();
    expect(challenge).toBe(CHALLENGE);
    const withoutProof = 'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,z=\xe9';
    const proof = proofOf('pencil', bare, challenge, withoutProof);
    expect(side.final(latin1(`${withoutProof},p=${proof}`))).toBeDefined();
  });
});

test('our client logs in at our server, bound or not, with its own password alone', async () => {
  expect(await logIn('pencil')).toBe(true);
  expect(await logIn('pencil', END_POINT)).toBe(true);
  expect(await logIn('pencil', END_POINT, true)).toBe(false);
  expect(await logIn('Pencil', END_POINT)).toBe(false);
  expect(await logIn('')).toBe(false);
});

test('no two logins have the same nonce', async () => {
  const verifier = await pencil;
  const said = Array.from({ length: 100 }, () => {
    const side = server();
    side.first(latin1('n,,n=,r='));
    return side.challenge(verifier).toString();
  });
  expect(new Set(said).size).toBe(100);
  expect(said.every((text) => /^r=[\w+/]{24},s=/.test(text))).toBe(true);
});

test('messages come in order, and each once', async () => {
  const verifier = await pencil;
  const side = server();
  expect(() => side.challenge(verifier)).toThrow('the first message comes first');
  expect(() => side.final(latin1('c=biws'))).toThrow('no challenge');
  side.first(latin1('n,,n=,r=x'));
  expect(() => side.first(latin1('n,,n=,r=x'))).toThrow('has been read');
  side.challenge(verifier);
  expect(() => side.challenge(verifier)).toThrow('once');
  expect(refused(() => side.final(latin1('c=biws,r=x,p=')))).toMatchObject({ sqlstate: '08P01' });
  // A second guess would have the same nonce.
  expect(() => side.final(latin1('c=biws,r=x,p='))).toThrow('no challenge');
});

test('a message of more than 1024 bytes is refused, and a nonce of nearly as many is not', async () => {
  const long = server();
  expect(refused(() => long.first(latin1(`n,,n=,r=${'x'.repeat(1_024)}`)))).toMatchObject({
    sqlstate: '08P01',
    message: 'invalid message length',
  });
  const side = server();
  side.first(latin1(`n,,n=,r=${'x'.repeat(1_000)}`));
  // libpq reads authentication requests of at most 2000 bytes.
  expect(side.challenge(await pencil).length).toBeLessThan(1_992);
});

test('no error repeats a nonce or a proof', async () => {
  const side = server();
  side.first(latin1('n,,n=,r=canary-nonce'));
  side.challenge(await pencil);
  const proof = 'canaryproof'.padEnd(43, 'A');
  const error = refused(() => side.final(latin1(`c=biws,r=canary-nonce,p=${proof}=`)));
  expect(error).toMatchObject({ message: 'invalid SCRAM response', detail: 'Nonce does not match.' });
  expect(JSON.stringify([String(error), error.detail, error.hint, error.cause])).not.toContain('canary');
});

/** The grammar of client-first-message as PostgreSQL has it, another way. */
function allowedFirst(text: string, plus: boolean, plusOffered: boolean): boolean {
  const flag = plus ? 'p=tls-server-end-point' : plusOffered ? 'n' : '[ny]';
  const attributes = '(?:,[A-Za-z]=[^,\\0]*)*';
  return new RegExp(`^${flag},,n=[^,\\0]*,r=[!-+\\--~]*${attributes},?$`).test(text);
}

/** The grammar of client-final-message, another way. */
const allowedFinal = (text: string): boolean =>
  /^c=biws,r=[^,\0]*(?:,[A-Za-oq-z]=[^,\0]*)*,p=[A-Za-z0-9+/]{43}=,?$/.test(text);

const PIECES = fc.constantFrom(
  'n,,',
  'y,,',
  'p=tls-server-end-point,,',
  'p=tls-unique,,',
  'n,a=b,',
  'n',
  ',',
  '=',
  'm=x',
  'n=',
  'r=',
  'c=',
  'biws',
  'eSws',
  'p=',
  'x=',
  'abc',
  `${'A'.repeat(43)}=`,
  ' ',
  '\0',
  '\xff',
  '\x01',
  '"',
  '1=',
  'é',
);
const composed = fc.array(PIECES, { maxLength: 9 }).map((all) => all.join(''));
const edited = (good: string): fc.Arbitrary<string> =>
  fc
    .tuple(fc.nat(good.length), fc.nat(2), fc.oneof(PIECES, fc.string({ maxLength: 2 })))
    .map(([at, gone, more]) => good.slice(0, at) + more + good.slice(at + gone));
const PATIENCE = { timeout: 120_000 };

test('a hundred thousand first messages are read as the grammar says, or refused', PATIENCE, () => {
  const good = ['n,,n=,r=nonce', 'y,,n=user,r=n,x=y', 'p=tls-server-end-point,,n=,r=abc,'];
  fc.assert(
    fc.property(
      fc.oneof(composed, ...good.map(edited)),
      fc.boolean(),
      fc.boolean(),
      (said, plus, offered) => {
        const text = latin1(said).toString('latin1');
        const offer = { plus, plusOffered: plus || offered };
        const read = attempt(() => parseClientFirst(latin1(said), offer));
        const fits = allowedFirst(text, plus, offer.plusOffered);
        if (read instanceof Error) {
          if (fits || !['08P01', '0A000', '28000'].includes(read.sqlstate)) throw read;
        } else if (!fits || read.header + read.bare !== text) throw new Error(`read ${JSON.stringify(said)}`);
      },
    ),
    { numRuns: 100_000 },
  );
});

test('a hundred thousand last messages are read as the grammar says, or refused', PATIENCE, () => {
  const proof = `${'x'.repeat(43)}=`;
  const good = [`c=biws,r=nonce,p=${proof}`, `c=biws,r=n,x=y,p=${proof},`];
  fc.assert(
    fc.property(fc.oneof(composed, ...good.map(edited)), (said) => {
      const text = latin1(said).toString('latin1');
      const read = attempt(() => parseClientFinal(latin1(said), 'biws', false));
      if (read instanceof Error) {
        if (allowedFinal(text) || read.sqlstate !== '08P01') throw read;
      } else if (
        !allowedFinal(text) ||
        !text.startsWith(`${read.withoutProof},p=`) ||
        read.proof.length !== 32
      )
        throw new Error(`read ${JSON.stringify(said)}`);
    }),
    { numRuns: 100_000 },
  );
});
