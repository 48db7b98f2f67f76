/** A version of the protocol that nobody speaks any more, or not yet, is refused as PostgreSQL refuses it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { databaseOf, mapTo, startGateway } from '../../support/gateway.ts';
import type { RunningGateway } from '../../support/gateway.ts';
import { sharedPostgres } from '../../support/postgres.ts';
import { RawClient, fieldsOf } from '../../support/raw-client.ts';

const postgres = sharedPostgres();
let running: RunningGateway;

beforeAll(async () => {
  running = await startGateway({ databases: { orders: databaseOf(postgres) }, plugins: [mapTo('reader')] });
});
afterAll(() => running.gateway.stop());

function packet(major: number, minor: number, body: Buffer): Buffer {
  const head = Buffer.alloc(8);
  head.writeInt32BE(head.length + body.length, 0);
  head.writeUInt16BE(major, 4);
  head.writeUInt16BE(minor, 6);
  return Buffer.concat([head, body]);
}

/** All that a server says before it closes. The name of its source and the version it knows are its own. */
async function answer(port: number, bytes: Buffer): Promise<unknown> {
  const client = await RawClient.connect(port);
  client.send(bytes);
  const rest = await client.rest();
  const wanted = (text = ''): string => text.replace(/to 3\.\d/, 'to 3.2');
  if (rest.toString('latin1', 0, 7) === 'EFATAL:') return wanted(rest.toString('latin1'));
  const { S: severity, C: code, M: text } = fieldsOf(rest.subarray(5));
  return { severity, code, text: wanted(text) };
}

/** Protocol 2 had a packet of 296 bytes: database, user, options, unused, terminal. */
const OLD = Buffer.concat([Buffer.from('orders'.padEnd(64, '\0')), Buffer.from('alice'.padEnd(224, '\0'))]);
const NEW = Buffer.from('user\0alice\0\0');

test.each([
  [0, 0, OLD],
  [1, 0, OLD],
  [2, 0, OLD],
  [2, 9, NEW],
  [4, 0, NEW],
  [9_999, 9_999, NEW],
  [1_234, 1, NEW],
])('%i.%i', async (major, minor, body) => {
  const bytes = packet(major, minor, body);
  const direct = await answer(postgres.port, bytes);
  expect(direct).toBeTruthy();
  expect(await answer(running.port, bytes)).toEqual(direct);
});
