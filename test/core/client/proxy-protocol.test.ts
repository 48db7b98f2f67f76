import { once } from 'node:events';
import { isIP } from 'node:net';
import type { AddressInfo, Server } from 'node:net';
import { setImmediate as nextTurn } from 'node:timers/promises';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { arrive } from '../../../core/client/arrival.ts';
import type { Arrival } from '../../../core/client/arrival.ts';
import { ProxyHeaderWrong } from '../../../core/client/proxy-header.ts';
import type { Origin } from '../../../core/client/proxy-header.ts';
import { parseLine } from '../../../core/client/proxy-protocol-v1.ts';
import { parseHeader, restLength } from '../../../core/client/proxy-protocol-v2.ts';
import { ClientGone } from '../../../core/client/reader.ts';
import { Networks, parseNetwork } from '../../../core/options/networks.ts';
import { listenShared } from '../../../core/net/shared-read.ts';
import { V2_SIGNATURE, crc32c, endpoints, extension, headerV2, lineV1 } from '../../support/proxy-headers.ts';
import { RawClient } from '../../support/raw-client.ts';

const here = new Networks([parseNetwork('127.0.0.0/8')]);
let server: Server;
let port: number;
let arrivals: Arrival[];
let refusals: string[];
let clients: RawClient[];

beforeEach(async () => {
  arrivals = [];
  refusals = [];
  clients = [];
  server = listenShared({ port: 0, host: '127.0.0.1' }, (channel) => {
    arrive(channel, here).then(
      (arrival) => arrivals.push(arrival),
      (error: unknown) => {
        refusals.push(
          error instanceof ClientGone ? [error, error.cause].map(textOf).join(' ') : String(error),
        );
        channel.destroy();
      },
    );
  });
  await once(server, 'listening');
  ({ port } = server.address() as AddressInfo);
});
afterEach(() => {
  for (const client of clients) client.destroy();
  server.close();
});

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : '';
}

async function connect(): Promise<RawClient> {
  const client = await RawClient.connect(port);
  clients.push(client);
  return client;
}

/** Sends a header in pieces, with `HELLO` behind it in the last one, and says where the client is then. */
async function originAfter(...pieces: readonly Buffer[]): Promise<Origin & { readonly behind: string }> {
  const before = arrivals.length;
  const client = await connect();
  for (const [index, piece] of pieces.entries()) {
    client.send(index === pieces.length - 1 ? Buffer.concat([piece, Buffer.from('HELLO')]) : piece);
    await nextTurn();
  }
  await expect.poll(() => arrivals.length + refusals.length).toBeGreaterThan(before);
  expect(refusals).toEqual([]);
  const { reader, address, port: from } = arrivals[before] as Arrival;
  return { address, port: from, behind: String(await reader.exactly(5)) };
}

const ONES = 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
const V6 = endpoints(
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
);
const MAPPED = endpoints(Buffer.from('00000000000000000000ffffc0000207', 'hex'), Buffer.alloc(16));

const GOOD: readonly (readonly [string, Buffer, Origin | undefined])[] = [
  // The examples of the specification, 2.1.
  [
    'the longest line of TCP4',
    lineV1('PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535'),
    at('255.255.255.255', 65_535),
  ],
  ['the longest line of TCP6', lineV1(`PROXY TCP6 ${ONES} ${ONES} 65535 65535`), at(ONES, 65_535)],
  ['the shortest line', lineV1('PROXY UNKNOWN'), undefined],
  ['the longest line', lineV1(`PROXY UNKNOWN ${ONES} ${ONES} 65535 65535`), undefined],
  [
    'the example with a web server',
    lineV1('PROXY TCP4 192.168.0.1 192.168.0.11 56324 443'),
    at('192.168.0.1', 56_324),
  ],
  // And more.
  ['an address in capitals', lineV1('PROXY TCP6 2001:DB8:0:0::1 ::1 1 2'), at('2001:db8::1', 1)],
  ['an IPv4-mapped address', lineV1('PROXY TCP6 ::ffff:192.0.2.7 ::ffff:192.0.2.8 1 2'), at('192.0.2.7', 1)],
  ['port 0', lineV1('PROXY TCP4 192.0.2.7 192.0.2.8 0 0'), at('192.0.2.7', 0)],
  ['version 2 with IPv4', headerV2(), at('192.0.2.7', 4711)],
  ['version 2 with IPv6', headerV2({ family: 0x21, addresses: V6 }), at('2001:db8::1', 4711)],
  [
    'version 2 with an IPv4-mapped address',
    headerV2({ family: 0x21, addresses: MAPPED }),
    at('192.0.2.7', 4711),
  ],
  ['version 2 with UDP', headerV2({ family: 0x12 }), at('192.0.2.7', 4711)],
  ['version 2 with unix sockets', headerV2({ family: 0x31, addresses: Buffer.alloc(216, 0x2f) }), undefined],
  ['version 2 with nothing known', headerV2({ family: 0, addresses: Buffer.alloc(0) }), undefined],
  ['version 2 with something unknown', headerV2({ family: 0, addresses: Buffer.alloc(99, 1) }), undefined],
  [
    'a proxy that speaks for itself',
    headerV2({ command: 0x20, family: 0, addresses: Buffer.alloc(0) }),
    undefined,
  ],
  ['a proxy that speaks for itself, with addresses', headerV2({ command: 0x20 }), undefined],
  [
    'extensions',
    headerV2({
      extensions: Buffer.concat([extension(1, Buffer.from('postgresql')), extension(4, Buffer.alloc(300))]),
    }),
    at('192.0.2.7', 4711),
  ],
  [
    'extensions with a checksum',
    headerV2({ extensions: extension(5, Buffer.from('id')), checksum: true }),
    at('192.0.2.7', 4711),
  ],
  [
    'the longest header',
    headerV2({ extensions: extension(4, Buffer.alloc(16_384 - 12 - 3)) }),
    at('192.0.2.7', 4711),
  ],
];

function at(address: string, from: number): Origin {
  return { address, port: from };
}

describe('a header', () => {
  test.each(GOOD)('%s', async (_, header, origin) => {
    const found = await originAfter(header);
    expect(found).toMatchObject(origin ?? { address: '127.0.0.1' });
    expect(found.port).toBe(origin?.port ?? clients[0]?.socket.localPort);
    expect(found.behind).toBe('HELLO');
  });

  test.each([lineV1('PROXY TCP4 192.0.2.7 192.0.2.8 4711 6432'), headerV2({ checksum: true })])(
    'is the same wherever it is cut',
    async (header) => {
      for (let cut = 1; cut < header.length; cut += 1) {
        const found = await originAfter(header.subarray(0, cut), header.subarray(cut));
        expect(found).toEqual({ address: '192.0.2.7', port: 4711, behind: 'HELLO' });
      }
      const bytes = Array.from(header, (byte) => Buffer.from([byte]));
      expect(await originAfter(...bytes)).toEqual({ address: '192.0.2.7', port: 4711, behind: 'HELLO' });
    },
    120_000,
  );

  test('is not asked of an address that is not trusted', async () => {
    const others = listenShared({ port: 0, host: '127.0.0.1' }, (channel) => {
      void arrive(channel, new Networks([parseNetwork('10.0.0.0/8')])).then((one) => arrivals.push(one));
    });
    await once(others, 'listening');
    const client = await RawClient.connect((others.address() as AddressInfo).port);
    clients.push(client);
    await expect
      .poll(() => arrivals)
      .toMatchObject([{ address: '127.0.0.1', port: client.socket.localPort }]);
    client.send(lineV1('PROXY UNKNOWN'));
    expect(String(await arrivals[0]?.reader.exactly(13))).toBe('PROXY UNKNOWN');
    others.close();
  });
});

const v2 = (options: Parameters<typeof headerV2>[0], why: string) => [why, headerV2(options), why] as const;
const v1 = (text: string, why = 'not as version 1 has it') => [text, lineV1(text), why] as const;

const WRONG: readonly (readonly [string, Buffer, string])[] = [
  ['a startup packet', Buffer.from('0000000804d2162f', 'hex'), 'no PROXY header'],
  ['a ClientHello', Buffer.from('1603010200', 'hex'), 'no PROXY header'],
  ['another word', Buffer.from('POST / HTTP/1.1\r\n'), 'not as version 1 has it'],
  ['a line that does not end', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(93)}`), 'longer than 107 bytes'],
  ['a line that ends without CR', Buffer.from('PROXY UNKNOWN x\n'), 'not as version 1 has it'],
  v1('PROXY TCP4 192.0.2.7 192.0.2.8 1'),
  v1('PROXY TCP4  192.0.2.7 192.0.2.8 1 2'),
  v1('PROXY TCP4 192.0.2.7 192.0.2.8 1 2 '),
  v1('PROXY TCP5 192.0.2.7 192.0.2.8 1 2'),
  v1('PROXY tcp4 192.0.2.7 192.0.2.8 1 2'),
  v1('PROXY UDP4 192.0.2.7 192.0.2.8 1 2'),
  v1('PROXY UNKNOWNS 192.0.2.7'),
  v1('PROXY TCP4 192.0.2.7 192.0.2.8 -1 2'),
  v1('PROXY TCP4 192.0.2.7 192.0.2.8 65536 2', 'no port'),
  v1('PROXY TCP4 192.0.2.7 192.0.2.8 1 65536', 'no port'),
  v1('PROXY TCP4 192.0.2.7 192.0.2.8 01 2', 'no port'),
  v1('PROXY TCP4 192.0.02.7 192.0.2.8 1 2', 'no address of TCP4'),
  v1('PROXY TCP4 192.0.2.7 localhost 1 2', 'no address of TCP4'),
  v1('PROXY TCP4 ::1 ::1 1 2', 'no address of TCP4'),
  v1('PROXY TCP6 192.0.2.7 192.0.2.8 1 2', 'no address of TCP6'),
  v1('PROXY TCP6 fe80::1%eth0 ::1 1 2', 'no address of TCP6'),
  ['half a signature', Buffer.concat([V2_SIGNATURE.subarray(0, 8), Buffer.alloc(8)]), 'no signature'],
  v2({ command: 0x11 }, 'neither LOCAL nor PROXY of version 2'),
  v2({ command: 0x22 }, 'neither LOCAL nor PROXY of version 2'),
  v2({ family: 0x13 }, 'a family of addresses that version 2 does not have'),
  v2({ family: 0x41 }, 'a family of addresses that version 2 does not have'),
  v2({ family: 0x10 }, 'a family of addresses that version 2 does not have'),
  v2({ addresses: Buffer.alloc(11) }, 'too short for its addresses'),
  v2({ family: 0x21 }, 'too short for its addresses'),
  v2({ length: 16_385 }, 'longer than 16400 bytes'),
  v2({ extensions: Buffer.from([1, 0]) }, 'an extension goes beyond the end'),
  v2({ extensions: Buffer.from([1, 0, 1]) }, 'an extension goes beyond the end'),
  v2({ extensions: extension(3, Buffer.from('abcd')) }, 'the checksum does not fit'),
  [
    'a checksum that is too long',
    headerV2({ extensions: extension(3, Buffer.alloc(5)) }),
    'the checksum does not fit',
  ],
];

describe('what is no header', () => {
  test.each(WRONG)('%j is refused', async (_, bytes, why) => {
    const client = await connect();
    client.send(bytes);
    expect(String(await client.rest())).toBe('');
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toContain(why);
    expect(arrivals).toEqual([]);
  });

  test('is refused as soon as its first byte is there', async () => {
    const client = await connect();
    client.send(Buffer.from([0]));
    expect(String(await client.rest())).toBe('');
  });

  test('half a header and then nothing ends with the connection', async () => {
    const client = await connect();
    client.send(headerV2().subarray(0, 20));
    client.socket.end();
    await expect.poll(() => refusals).toEqual(['the client closed its connection ']);
  });

  test('a byte that is changed in a header with a checksum is always noticed', () => {
    const good = headerV2({ checksum: true, extensions: extension(4, Buffer.alloc(20)) });
    for (let byte = 16; byte < good.length; byte += 1) {
      const changed = Buffer.from(good);
      changed.writeUInt8(changed.readUInt8(byte) ^ 0x10, byte);
      // In the type of the checksum itself it becomes another extension, which nobody knows.
      if (byte === good.length - 7) continue;
      expect(() => parseHeader(changed), `byte ${byte}`).toThrow(ProxyHeaderWrong);
    }
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  });
});

describe('whatever comes', () => {
  const head = Buffer.concat([V2_SIGNATURE, Buffer.from([0x21])]);
  const binary = fc.tuple(fc.constantFrom(0, 0x11, 0x21, 0x31, 0x55), fc.uint8Array({ maxLength: 300 }));

  /** A header is an origin, nothing, or wrong: never anything else. */
  function outcome(parse: () => Origin | undefined): void {
    let origin: Origin | undefined;
    try {
      origin = parse();
    } catch (error) {
      expect(error).toBeInstanceOf(ProxyHeaderWrong);
    }
    if (!origin) return;
    expect(isIP(origin.address)).not.toBe(0);
    expect(origin.port).toBeGreaterThanOrEqual(0);
    expect(origin.port).toBeLessThanOrEqual(65_535);
  }

  test('a binary header gives an address, none, or is wrong', () => {
    fc.assert(
      fc.property(binary, ([family, rest]) => {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(rest.length);
        const header = Buffer.concat([head, Buffer.from([family]), length, rest]);
        expect(restLength(header.subarray(0, 16))).toBe(rest.length);
        outcome(() => parseHeader(header));
      }),
      { numRuns: 5_000 },
    );
  });

  test('a line gives an address, none, or is wrong', () => {
    const word = fc.oneof(
      fc.constantFrom('PROXY', 'TCP4', 'TCP6', 'UNKNOWN', '', '1', '65535', '65536', '%', '\r\n', '\0'),
      fc.ipV4(),
      fc.ipV6(),
      fc.string(),
    );
    const lines = fc.oneof(
      fc.array(word).map((words) => `${words.join(' ')}\r\n`),
      fc
        .tuple(fc.constantFrom('TCP4', 'TCP6'), word, word, word, word)
        .map((words) => `PROXY ${words.join(' ')}\r\n`),
    );
    fc.assert(
      fc.property(lines, (line) => outcome(() => parseLine(Buffer.from(line)))),
      { numRuns: 5_000 },
    );
  });
});
