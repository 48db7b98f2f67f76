/** A SASL exchange with a client, whatever the mechanism: its messages, its bounds, and what is left of a response. */
import { once } from 'node:events';
import net from 'node:net';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { Reader } from '../../../core/client/reader.ts';
import { SaslExchange } from '../../../core/client/sasl.ts';
import { Channel } from '../../../core/net/channel.ts';
import { RawClient, message } from '../../support/raw-client.ts';

const server = net.createServer({ pauseOnConnect: true });
const clients: RawClient[] = [];
beforeAll(async () => {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy();
});
afterAll(() => void server.close());

const MECHANISMS = ['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256'];

async function exchange(longest = 1_024): Promise<{ client: RawClient; sasl: SaslExchange }> {
  const accepted = once(server, 'connection') as Promise<[net.Socket]>;
  const client = await RawClient.connect((server.address() as net.AddressInfo).port);
  clients.push(client);
  const [socket] = await accepted;
  return { client, sasl: new SaslExchange(new Reader(new Channel(socket)), longest) };
}

function initial(mechanism: string, response?: string): Buffer {
  const length = Buffer.alloc(4);
  length.writeInt32BE(response === undefined ? -1 : response.length);
  return message('p', Buffer.concat([Buffer.from(`${mechanism}\0`), length, Buffer.from(response ?? '')]));
}

const text = (bytes: Buffer): string => bytes.toString();

test('mechanisms are offered in order, and each message of a client goes to who asked for it', async () => {
  const { client, sasl } = await exchange();
  const begun = sasl.begin(MECHANISMS, (response, mechanism) => `${mechanism} ${text(response)}`);
  const offered = await client.message();
  expect(offered.body.toString('latin1')).toBe('\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0');
  client.send(initial('SCRAM-SHA-256', 'n,,n=,r=x'));
  expect(await begun).toBe('SCRAM-SHA-256 n,,n=,r=x');
  const continued = sasl.continue(Buffer.from('r=xy'), text);
  expect((await client.message()).body.toString('latin1')).toBe('\0\0\0\x0br=xy');
  client.send(message('p', 'c=biws'));
  expect(await continued).toBe('c=biws');
  sasl.final(Buffer.from('v=z'));
  expect((await client.message()).body.toString('latin1')).toBe('\0\0\0\x0cv=z');
});

test('a client that sends nothing with its mechanism is given an empty challenge', async () => {
  const { client, sasl } = await exchange();
  const begun = sasl.begin(MECHANISMS, (response, mechanism) => `${mechanism} ${text(response)}`);
  await client.message();
  client.send(initial('SCRAM-SHA-256-PLUS'));
  expect((await client.message()).body.toString('latin1')).toBe('\0\0\0\x0b');
  client.send(message('p', 'p=…'));
  expect(await begun).toBe('SCRAM-SHA-256-PLUS p=…');
});

test('a response is zeroed when it has been read, also where that fails', async () => {
  const kept: Buffer[] = [];
  const { client, sasl } = await exchange();
  const begun = sasl.begin(MECHANISMS, (response) => kept.push(response));
  client.send(initial('SCRAM-SHA-256', 'secret'), message('p', 'secret'));
  await begun;
  const failing = sasl.continue(Buffer.alloc(0), (response) => {
    kept.push(response);
    throw new Error('unreadable');
  });
  await expect(failing).rejects.toThrow('unreadable');
  expect(kept).toHaveLength(2);
  expect(kept.every((response) => response.length === 6 && response.every((byte) => byte === 0))).toBe(true);
});

test('a message that is too long is refused by its header', async () => {
  const { client, sasl } = await exchange(1_024);
  const begun = sasl.begin(MECHANISMS, text);
  const head = message('p', Buffer.alloc(1_021)).subarray(0, 5);
  client.send(head);
  await expect(begun).rejects.toMatchObject({ sqlstate: '08P01', message: 'invalid message length' });
});

test.each([
  [
    'a mechanism that was not offered',
    initial('PLAIN', 'x'),
    'client selected an invalid SASL authentication mechanism',
  ],
  ['another message', message('X'), 'expected SASL response, got message type 88'],
  ['a length word of less than itself', Buffer.from('7000000003', 'hex'), 'invalid message length'],
])('%s is a protocol violation', async (_, said, sentence) => {
  const { client, sasl } = await exchange();
  const begun = sasl.begin(MECHANISMS, text);
  client.send(said);
  await expect(begun).rejects.toMatchObject({ sqlstate: '08P01', message: sentence });
});

test('a client that leaves ends the exchange', async () => {
  const { client, sasl } = await exchange();
  const begun = sasl.begin(MECHANISMS, text);
  client.destroy();
  await expect(begun).rejects.toMatchObject({ name: 'ClientGone' });
});
