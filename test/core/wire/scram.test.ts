import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import { MAX_ITERATIONS, ScramClient } from '../../../core/wire/scram.ts';
import type { ScramOptions } from '../../../core/wire/scram.ts';
import { refused } from './refused.ts';

const OFFERED = ['SCRAM-SHA-256'];
const BOTH = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'];
const SALT = 'W22ZaJ0SNY7soEsUEjb6gQ==';

const client = (options: Partial<ScramOptions> = {}) =>
  new ScramClient({ password: 'pencil', offered: OFFERED, nonce: 'ours', ...options });

async function refusedAnswer(first: string | Buffer, options?: Partial<ScramOptions>): Promise<GatewayError> {
  const error: unknown = await client(options)
    .continue(Buffer.from(first as string))
    .catch((reason: unknown) => reason);
  if (error instanceof GatewayError) return error;
  throw new Error(`expected a refusal of ${first.toString()}, got ${String(error)}`);
}

/** The server's side, written from RFC 5802 alone; gives its last message if the proof is right. */
function serverFinal(bare: string, first: string, clientFinal: string, password: string): string {
  const [, salt = '', iterations] = /,s=([^,]+),i=(\d+)/.exec(first) ?? [];
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
  const sign = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
  const [withoutProof = '', proof = ''] = clientFinal.split(',p=');
  const authMessage = `${bare},${first},${withoutProof}`;
  const storedKey = createHash('sha256').update(sign(salted, 'Client Key')).digest();
  const signature = sign(storedKey, authMessage);
  const clientKey = Buffer.from(proof, 'base64').map((byte, i) => byte ^ (signature[i] ?? 0));
  if (!createHash('sha256').update(clientKey).digest().equals(storedKey)) return 'e=invalid-proof';
  return `v=${sign(sign(salted, 'Server Key'), authMessage).toString('base64')}`;
}

describe('the example of RFC 7677', () => {
  const first = `r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=${SALT},i=4096`;
  const rfc = () => client({ user: 'user', nonce: 'rOprNGfwEbeRWgbNEkqO' });

  test('comes out byte by byte', async () => {
    const scram = rfc();
    expect(scram.mechanism).toBe('SCRAM-SHA-256');
    expect(scram.clientFirst().toString()).toBe('n,,n=user,r=rOprNGfwEbeRWgbNEkqO');
    expect((await scram.continue(Buffer.from(first))).toString()).toBe(
      'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=',
    );
    scram.finish(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4='));
  });

  test.each([
    'v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
    'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95A==',
    'v=',
    'e=other-error',
    '',
    'x=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=',
    'v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=\0',
    `v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=,${'x'.repeat(3_000)}`,
  ])('refuses a server that cannot sign: %j', async (final) => {
    const scram = rfc();
    await scram.continue(Buffer.from(first));
    expect(refused(() => scram.finish(Buffer.from(final))).code).toBe('protocol_violation');
  });

  test('refuses a signature before there was a proof', () => {
    refused(() => rfc().finish(Buffer.from('v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=')));
  });
});

describe('the mechanism', () => {
  const channelBinding = Buffer.from('hash of the certificate');

  test('is PLUS when the server offers it and there is something to bind', async () => {
    const scram = client({ channelBinding, offered: BOTH });
    expect(scram.mechanism).toBe('SCRAM-SHA-256-PLUS');
    expect(scram.clientFirst().toString()).toBe('p=tls-server-end-point,,n=,r=ours');
    const final = await scram.continue(Buffer.from(`r=oursX,s=${SALT},i=4096`));
    const [, binding = ''] = /^c=([^,]+),r=oursX,p=/.exec(final.toString()) ?? [];
    expect(Buffer.from(binding, 'base64').toString()).toBe('p=tls-server-end-point,,hash of the certificate');
  });

  test('tells a server that did not offer PLUS that it could have been bound', async () => {
    const scram = client({ channelBinding });
    expect(scram.clientFirst().toString()).toBe('y,,n=,r=ours');
    expect((await scram.continue(Buffer.from(`r=oursX,s=${SALT},i=4096`))).toString()).toMatch(/^c=eSws,/);
  });

  test('is not PLUS without TLS, whatever the server offers', () => {
    expect(client({ offered: BOTH })).toMatchObject({ mechanism: 'SCRAM-SHA-256' });
  });

  test.each([[[]], [['OAUTHBEARER']], [['SCRAM-SHA-256-PLUS']], [['scram-sha-256']]])(
    'none of %j is refused',
    (offered) => {
      expect(refused(() => client({ offered })).code).toBe('feature_not_supported');
    },
  );
});

describe('the first message of a server is refused', () => {
  test.each([
    ['without our nonce', `r=theirs,s=${SALT},i=4096`],
    ['with our nonce in capitals', `r=OURSx,s=${SALT},i=4096`],
    ['with nothing added to our nonce', `r=ours,s=${SALT},i=4096`],
    ['with a nonce that has no end', `r=ours${'x'.repeat(600)},s=${SALT},i=4096`],
    ['with an unprintable nonce', `r=ours\u0007,s=${SALT},i=4096`],
    ['with a nonce beyond ASCII', `r=oursé,s=${SALT},i=4096`],
    ['without salt', 'r=oursX,s=,i=4096'],
    ['with a salt that is no base64', 'r=oursX,s=AAA,i=4096'],
    ['with a salt of 300 bytes', `r=oursX,s=${Buffer.alloc(300).toString('base64')},i=4096`],
    ['with too few iterations', `r=oursX,s=${SALT},i=4095`],
    ['with one iteration', `r=oursX,s=${SALT},i=1`],
    ['with no iterations', `r=oursX,s=${SALT},i=0`],
    ['with negative iterations', `r=oursX,s=${SALT},i=-1`],
    ['with octal iterations', `r=oursX,s=${SALT},i=04096`],
    ['with too many iterations', `r=oursX,s=${SALT},i=${MAX_ITERATIONS + 1}`],
    ['with 2³¹-1 iterations', `r=oursX,s=${SALT},i=2147483647`],
    ['with iterations beyond every integer', `r=oursX,s=${SALT},i=${'9'.repeat(400)}`],
    ['with a mandatory extension', `m=x,r=oursX,s=${SALT},i=4096`],
    ['with its attributes in another order', `s=${SALT},r=oursX,i=4096`],
    ['with an attribute twice', `r=oursX,r=oursX,s=${SALT},i=4096`],
    ['without iterations', `r=oursX,s=${SALT}`],
    ['with an error', 'e=unknown-user'],
    ['with nothing', ''],
    ['with 100 KB', `r=oursX,s=${SALT},i=4096,${'x'.repeat(100_000)}`],
  ])('%s', async (_name, first) => {
    expect((await refusedAnswer(first)).code).toBe('protocol_violation');
  });

  test('whatever it is, without a word of the password', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), async (bytes) => {
        const error = await refusedAnswer(Buffer.from(bytes), { password: 'canary-password' });
        expect(JSON.stringify([error.message, error.detail, error.hint])).not.toContain('canary');
      }),
    );
  });
});

test('an extension behind the iterations is passed over, and counts for the signature', async () => {
  const scram = client();
  const first = `r=oursX,s=${SALT},i=4096,x=future`;
  const final = await scram.continue(Buffer.from(first));
  scram.finish(Buffer.from(serverFinal('n=,r=ours', first, final.toString(), 'pencil')));
});

test('nonces are new every time, and long enough', () => {
  const nonces = Array.from({ length: 100 }, () =>
    new ScramClient({ password: 'x', offered: OFFERED }).clientFirst().toString().replace('n,,n=,r=', ''),
  );
  expect(new Set(nonces).size).toBe(100);
  expect(nonces.every((nonce) => Buffer.from(nonce, 'base64').length === 18)).toBe(true);
});

describe('keys from the cache', () => {
  const login = async (password: string, first: string) => {
    const scram = client({ password });
    const final = (await scram.continue(Buffer.from(first))).toString();
    return { scram, final };
  };

  test('belong to one password, salt and iteration count', async () => {
    for (const password of ['pencil', 'pencil2', 'pencil']) {
      for (const attributes of [`s=${SALT},i=4096`, `s=${SALT},i=4097`, 's=AAAA,i=4096']) {
        const first = `r=oursX,${attributes}`;
        const { scram, final } = await login(password, first);
        scram.finish(Buffer.from(serverFinal('n=,r=ours', first, final, password)));
      }
    }
  });

  test('serve logins that arrive together, and those after more passwords than it holds', async () => {
    const first = `r=oursX,s=${SALT},i=4096`;
    const passwords = [...Array.from({ length: 1_050 }, (_, i) => `p${i}`), 'p0', 'p1'];
    const logins = await Promise.all(passwords.map((password) => login(password, first)));
    for (const [i, { scram, final }] of logins.entries()) {
      if (i < 3 || i > 1_048)
        scram.finish(Buffer.from(serverFinal('n=,r=ours', first, final, passwords[i] ?? '')));
    }
  });
});
