/** Clients that prove a password by SCRAM, beside the same clients at PostgreSQL: what it refuses we refuse, in its words. */
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { arrive } from '../../../core/client/arrival.ts';
import { greet } from '../../../core/client/greet.ts';
import { refuse, uniform } from '../../../core/client/refuse.ts';
import { askScram } from '../../../core/client/scram.ts';
import { TlsTermination } from '../../../core/client/tls.ts';
import { GatewayError } from '../../../core/contract/errors.ts';
import { Channel } from '../../../core/net/channel.ts';
import { serverEndPoint } from '../../../core/wire/channel-binding.ts';
import { ScramClient } from '../../../core/wire/scram.ts';
import { makeScramVerifier } from '../../../core/wire/scram-verifier.ts';
import { certificates } from '../../support/certificates.ts';
import type { Certificates } from '../../support/certificates.ts';
import { startPostgres } from '../../support/postgres.ts';
import type { OwnPostgres } from '../../support/postgres.ts';
import { RawClient, message } from '../../support/raw-client.ts';
import { initialResponse, nonceOf, offeredTo, playScram, proofOf } from '../../support/scram-dialogue.ts';
import type { ScramEnd, ScramScript } from '../../support/scram-dialogue.ts';

const PASSWORD = 'pencil';
const USER = 'scholar';

let files: Certificates;
let postgres: OwnPostgres;
/** Plaintext on loopback, or TLS with two certificates. */
let ours: net.Server;
const clients: RawClient[] = [];

beforeAll(async () => {
  files = await certificates();
  postgres = await startPostgres({ ssl: files.server });
  await postgres.sql(`create role ${USER} login password '${PASSWORD}'`);
  const pair = ({ certFile, keyFile }: Certificates['server']) => ({ cert: certFile, key: keyFile });
  const tls = new TlsTermination({
    ...pair(files.server),
    servernames: { 'other.example': pair(files.other) },
  });
  const verifier = makeScramVerifier(PASSWORD);
  const lookup = (user: string) => (user === USER ? verifier : undefined);
  ours = net.createServer({ pauseOnConnect: true }, (socket) => {
    const serve = async (): Promise<void> => {
      const arrival = await arrive(new Channel(socket), undefined);
      const { reader, said } = await greet(arrival, { name: 'test', plaintext: 'loopback', tls });
      if (said.kind !== 'startup') throw new Error(said.kind);
      const user = said.parameters.find(([name]) => name === 'user')?.[1] ?? '';
      try {
        await askScram(reader, { user, lookup });
      } catch (error) {
        if (error instanceof GatewayError) refuse(reader.channel, uniform(error, user));
      }
    };
    // A client that leaves.
    serve().catch(() => socket.destroy());
  });
  ours.listen(0, '127.0.0.1');
  await once(ours, 'listening');
});
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});
afterAll(async () => {
  ours.close();
  await postgres.stop();
  files.remove();
});

const ports = (): readonly number[] => [postgres.port, (ours.address() as net.AddressInfo).port];

async function connect(port: number, tls = false): Promise<RawClient> {
  const client = await RawClient.connect(port);
  clients.push(client);
  return tls ? client.startTls() : client;
}

/** What PostgreSQL and we say to the same client; without the texts that differ by chance. */
async function both(script: ScramScript, user = USER): Promise<readonly unknown[]> {
  const plain = (end: ScramEnd): unknown => {
    if (end.at === 'end') return { at: end.at };
    return end.at === 'challenge' ? { at: end.at, form: end.challenge.replace(/[\w+/]{16,}/g, '…') } : end;
  };
  const [theirs, own] = ports();
  const play = async (port = 0): Promise<unknown> => {
    const client = await connect(port, script.tls);
    expect(await offeredTo(client, user, 'postgres')).toEqual(
      script.tls === true ? ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'] : ['SCRAM-SHA-256'],
    );
    return plain(await playScram(client, script));
  };
  return [await play(theirs), await play(own)];
}

async function alike(script: ScramScript, user = USER): Promise<unknown> {
  const [theirs, own] = await both(script, user);
  expect(own).toEqual(theirs);
  return own;
}

const PLAIN = 'SCRAM-SHA-256';
const PLUS = 'SCRAM-SHA-256-PLUS';

describe('a first message that PostgreSQL refuses, we refuse as it does', () => {
  test.each<[mechanism: string, message: string, tls: boolean]>([
    ...[
      '',
      'x',
      'x,,n=,r=a',
      '\xe9',
      '\x01,,',
      'n',
      'n;',
      'n,',
      'n,x',
      'n,\x7f',
      'n,a',
      'n,a=admin,n=,r=a',
      'n,,',
    ].map((text): [string, string, boolean] => [PLAIN, text, false]),
    ...[
      'n,,m=x,n=,r=a',
      'n,,m',
      'n,,x=,r=a',
      'n,,n',
      'n,,n;',
      'n,,n=',
      'n,,n=user',
      'n,,n=user,',
      'n,,n=,x=a',
    ].map((text): [string, string, boolean] => [PLAIN, text, false]),
    ...[
      'n,,n=,r',
      'n,,n=,r=a b',
      'n,,n=,r=\xe9',
      'n,,n=,r=a\x7f',
      'n,,n=,r=a,1=x',
      'n,,n=,r=a,,',
      'n,,n=,r=a,x',
    ].map((text): [string, string, boolean] => [PLAIN, text, false]),
    [PLAIN, 'n,,n=,r=a\0', false],
    [PLAIN, 'n,,n=\0,r=a', false],
    [PLAIN, 'y', false],
    [PLAIN, 'y;', false],
    [PLAIN, 'y,a=x,n=,r=a', false],
    [PLAIN, 'p=tls-server-end-point,,n=,r=a', false],
    [PLAIN, 'p=tls-server-end-point,,n=,r=a', true],
    [PLAIN, 'y,,n=,r=a', true],
    [PLUS, 'n,,n=,r=a', true],
    [PLUS, 'y,,n=,r=a', true],
    [PLUS, 'p', true],
    [PLUS, 'p=', true],
    [PLUS, 'p=tls-unique,,n=,r=a', true],
    [PLUS, `p=${'unknown \xe9'.repeat(9)},,n=,r=a`, true],
    [PLUS, 'p=tls-server-end-point', true],
    [PLUS, 'p=tls-server-end-point,a=x,n=,r=a', true],
    [PLUS, 'p=tls-server-end-point,,n', true],
    [PLUS, 'n,,n=,r=a', false],
    ['SCRAM-SHA-1', 'n,,n=,r=a', false],
    ['', 'n,,n=,r=a', false],
  ])('%s %j (TLS: %s)', async (mechanism, first, tls) => {
    expect(await alike({ tls, mechanism, first })).toMatchObject({ at: 'first' });
  });

  test.each(['', 'n,', 'n,,n=,r=\x01'])('%j behind an empty challenge', async (later) => {
    expect(await alike({ mechanism: PLAIN, first: undefined, later })).toMatchObject({ at: 'first' });
  });
});

describe('a first message that PostgreSQL takes, we take', () => {
  test.each<[mechanism: string, message: string, tls: boolean]>([
    [PLAIN, 'n,,n=,r=', false],
    [PLAIN, 'n,,n=someone=2Celse,r=a', false],
    [PLAIN, 'n,,n=\xff\xfe,r=a,x=\xe9,y=', false],
    [PLAIN, 'n,,n=,r=a,', false],
    [PLAIN, 'y,,n=,r=a', false],
    [PLAIN, 'n,,n=,r=a', true],
    [PLAIN, `n,,n=,r=${'a'.repeat(900)}`, false],
    [PLUS, 'p=tls-server-end-point,,n=,r=a', true],
  ])('%s %j (TLS: %s)', async (mechanism, first, tls) => {
    expect(await alike({ tls, mechanism, first })).toMatchObject({ at: 'challenge' });
    expect(await alike({ tls, mechanism, first }, 'nobody')).toMatchObject({ at: 'challenge' });
  });
});

describe('a last message that PostgreSQL refuses, we refuse as it does', () => {
  const proof = `${'A'.repeat(43)}=`;
  test.each<[message: string, first?: string]>([
    [''],
    ['x'],
    ['c'],
    ['c='],
    ['c=biws'],
    ['c=biws,'],
    ['c=eSws,r=$,p=#'],
    ['c=biws,r=$,p=#', 'y,,'],
    ['c=biwr,r=$,p=#'],
    ['c=biws,x=$,p=#'],
    ['c=biws,r'],
    ['c=biws,r=$'],
    ['c=biws,r=$,'],
    ['c=biws,r=$,x=y'],
    ['c=biws,r=$,,p=#'],
    ['c=biws,r=$,p'],
    ['c=biws,r=$,p='],
    ['c=biws,r=$,p=AAAA'],
    [`c=biws,r=$,p=${'A'.repeat(44)}`],
    [`c=biws,r=$,p=${'A'.repeat(42)}==`],
    [`c=biws,r=$,p= ${'A'.repeat(42)}=`],
    [`c=biws,r=$,p=${proof.slice(1)}`],
    [`c=biws,r=$,p=${proof}AAAA`],
    [`c=biws,r=$,p=${proof},x=y`],
    [`c=biws,r=$x,p=${proof}`],
    [`c=biws,r=,p=${proof}`],
    [`c=biws,r=x$,p=${proof}`],
    [`c=biws,r=$,p=${proof}\0`],
    [`c=biws,r=$,p=${proof}`],
    [`c=biws,r=$,p=${proof},`],
    [`c=biws,r=$,x=y,p=${proof}`],
  ])('%j', async (text, header = 'n,,') => {
    const final = (challenge: string) => text.replace('$', nonceOf(challenge)).replace('#', proof);
    const script = { mechanism: PLAIN, first: `${header}n=,r=mine`, final };
    expect(await alike(script)).toMatchObject({ at: 'final' });
  });

  test('another certificate, or none', async () => {
    const header = 'p=tls-server-end-point,,';
    for (const input of [header, `${header}${'x'.repeat(32)}`, 'n,,', '']) {
      const c = Buffer.from(input, 'latin1').toString('base64');
      const final = (challenge: string) => `c=${c},r=${nonceOf(challenge)},p=${proof}`;
      expect(await alike({ tls: true, mechanism: PLUS, first: `${header}n=,r=mine`, final })).toEqual({
        at: 'final',
        refused: { code: '28000', message: 'SCRAM channel binding check failed' },
      });
    }
  });
});

/** A login with the right or another password, by the grammar alone. */
function login(password: string, header = 'n,,', name = '', extension = ''): ScramScript {
  const bare = `n=${name},r=mine`;
  const final = (challenge: string): string => {
    const withoutProof = `c=${Buffer.from(header).toString('base64')},r=${nonceOf(challenge)}${extension}`;
    return `${withoutProof},p=${proofOf(password, bare, challenge, withoutProof)}`;
  };
  return { mechanism: PLAIN, first: `${header}${bare}`, final };
}

test('the right password comes to its end at both, whatever name and extensions there are', async () => {
  for (const script of [
    login(PASSWORD),
    login(PASSWORD, 'y,,'),
    login(PASSWORD, 'n,,', 'somebody=2C\xe9'),
    login(PASSWORD, 'n,,', '', ',x=y,z=\xff'),
  ])
    expect(await alike(script)).toEqual({ at: 'end' });
});

test('a wrong password and an unknown user have the same end at both', async () => {
  for (const user of [USER, 'nobody', 'no "body" ä'])
    expect(await alike(login('wrong'), user)).toEqual({
      at: 'final',
      refused: { code: '28P01', message: `password authentication failed for user "${user}"` },
    });
});

test('an unknown user has one salt, as long as that of others', async () => {
  const [, port = 0] = ports();
  const salts: string[] = [];
  for (const user of ['nobody', 'nobody', 'anybody', USER]) {
    const client = await connect(port);
    await offeredTo(client, user, 'postgres');
    const end = await playScram(client, { mechanism: PLAIN, first: 'n,,n=,r=' });
    salts.push(end.at === 'challenge' ? (/,s=([^,]*),i=4096$/.exec(end.challenge)?.[1] ?? '') : '');
  }
  expect(salts.map((salt) => Buffer.from(salt, 'base64').length)).toEqual([16, 16, 16, 16]);
  expect(new Set(salts).size).toBe(3);
});

test('another message than a response is refused by both in the same words', async () => {
  for (const port of ports()) {
    const client = await connect(port);
    await offeredTo(client, USER, 'postgres');
    client.send(message('Q', 'select 1\0'));
    expect(await client.error()).toMatchObject({
      C: '08P01',
      M: 'expected SASL response, got message type 81',
    });
  }
});

test('a message that is too long is refused by its header; PostgreSQL says that of it in its log alone', async () => {
  const said: unknown[] = [];
  for (const port of ports()) {
    const client = await connect(port);
    await offeredTo(client, USER, 'postgres');
    client.send(initialResponse(PLAIN, `n,,n=,r=${'a'.repeat(1_010)}`));
    const { C, M } = await client.error();
    said.push([C, M]);
  }
  expect(said).toEqual([
    ['28P01', `password authentication failed for user "${USER}"`],
    ['08P01', 'invalid message length'],
  ]);
});

describe('a login is bound to the certificate that the server name has chosen', () => {
  test.each([
    ['TLSv1.2', 'localhost', 'server'],
    ['TLSv1.3', 'localhost', 'server'],
    ['TLSv1.2', 'other.example', 'other'],
    ['TLSv1.3', 'other.example', 'other'],
  ] as const)('%s, %s', async (version, servername, file) => {
    const [, port = 0] = ports();
    const logIn = async (certificate: Buffer): Promise<ScramEnd> => {
      const client = await RawClient.connect(port);
      clients.push(client);
      await client.startTls({ servername, minVersion: version, maxVersion: version });
      const offered = await offeredTo(client, USER, 'postgres');
      const scram = new ScramClient({
        password: PASSWORD,
        offered,
        channelBinding: serverEndPoint(certificate),
      });
      client.send(initialResponse(scram.mechanism, scram.clientFirst().toString('latin1')));
      const challenge = (await client.message()).body.subarray(4);
      client.send(message('p', await scram.continue(challenge)));
      const last = await client.message();
      if (last.type === 'R') scram.finish(last.body.subarray(4));
      return last.type === 'R'
        ? { at: 'end', verifier: '' }
        : { at: 'final', refused: { code: '', message: '' } };
    };
    const raw = ({ cert }: { cert: string }): Buffer =>
      Buffer.from(cert.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    expect(await logIn(raw(files[file]))).toMatchObject({ at: 'end' });
    expect(await logIn(raw(files[file === 'server' ? 'other' : 'server']))).toMatchObject({ at: 'final' });
  });
});
