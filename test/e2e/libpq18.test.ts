/**
 * libpq 18 by each of its ways to connect (plaintext, TLS, direct TLS; protocols 3.0 and 3.2) and to cancel: as on PostgreSQL 18, and
 * a cancel is encrypted where its session is.
 */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import type { AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { newestLibpq, removeBuilt } from '../support/drivers/features/builds.ts';
import { GOOD_TOKEN, databaseOf, mapTo, startGateway } from '../support/gateway.ts';
import type { RunningGateway } from '../support/gateway.ts';
import { startPostgres } from '../support/postgres.ts';
import type { OwnPostgres } from '../support/postgres.ts';

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('../support/drivers/libpq_program.py', import.meta.url));

/** The first packet of each connection, as who listens on the way can read it. */
interface Recorder {
  readonly port: number;
  readonly heard: string[];
  close(): void;
}

function describePacket(first: Buffer): string {
  if (first[0] === 0x16) return 'TLS';
  const code = first.length < 8 ? 0 : first.readUInt32BE(4);
  if (code === 80_877_103) return 'SSLRequest';
  if (code === 80_877_102) return `CancelRequest, key of ${first.readUInt32BE(0) - 12} bytes`;
  return 'StartupMessage';
}

async function record(to: number): Promise<Recorder> {
  const heard: string[] = [];
  const server = net.createServer((client) => {
    client.once('data', (first: Buffer) => heard.push(describePacket(first)));
    const upstream = net.connect(to, '127.0.0.1');
    client.pipe(upstream).pipe(client);
    for (const socket of [client, upstream]) socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, heard, close: () => void server.close() };
}

const PLACES = ['direct', 'gateway'] as const;
const CONNECTIONS = {
  plaintext: 'sslmode=disable',
  TLS: 'sslmode=verify-full',
  'direct TLS': 'sslmode=verify-full sslnegotiation=direct',
} as const;
const PROTOCOLS = ['3.0', '3.2'] as const;
/** An old cancel is never encrypted. */
const WAYS = {
  plaintext: ['PQcancelBlocking', 'PQcancelStart', 'cancel_safe', 'PQcancel'],
  TLS: ['PQcancelBlocking', 'PQcancelStart', 'cancel_safe'],
  'direct TLS': ['PQcancelBlocking', 'PQcancelStart', 'cancel_safe'],
} as const;

type Place = (typeof PLACES)[number];
type Connection = keyof typeof CONNECTIONS;
const COMBINATIONS = (Object.keys(CONNECTIONS) as Connection[]).flatMap((connection) =>
  PROTOCOLS.flatMap((protocol) => WAYS[connection].map((way) => ({ connection, protocol, way }))),
);

let files: Certificates;
let postgres: OwnPostgres;
let running: RunningGateway;
let missing = '';
const outcomes = new Map<Place, readonly unknown[]>();
const heard = new Map<Place, readonly string[]>();

beforeAll(async () => {
  files = await certificates();
  const tls = { cert: files.server.certFile, key: files.server.keyFile };
  postgres = await startPostgres({ ssl: { cert: files.server.cert, key: files.server.key } });
  running = await startGateway({
    listen: [
      { name: 'plain', port: 0 },
      { name: 'encrypted', port: 0, tls, plaintext: 'never' },
    ],
    databases: { orders: databaseOf(postgres, { tls: { mode: 'disable' } }) },
    plugins: [mapTo('reader')],
  });
  const libpq = await newestLibpq();
  if (typeof libpq === 'string') missing = libpq;
  else for (const place of PLACES) await runAt(place, libpq);
}, 120_000);
afterAll(async () => {
  await running.gateway.stop();
  await postgres.stop();
  files.remove();
  removeBuilt();
});

async function runAt(
  place: Place,
  { python, env }: { readonly python: string; readonly env: NodeJS.ProcessEnv },
): Promise<void> {
  const ports = running.lines('listening').map(({ port }) => Number(port));
  const [plain, encrypted] = place === 'direct' ? [postgres.port, postgres.port] : ports;
  const recorders = [await record(plain ?? 0), await record(encrypted ?? 0)] as const;
  const who =
    place === 'direct'
      ? `user=reader password=${postgres.passwords.reader} dbname=postgres`
      : `user=_ password=${GOOD_TOKEN} dbname=orders`;
  const cases = COMBINATIONS.map(({ connection, protocol, way }, number) => {
    const { port } = connection === 'plaintext' ? recorders[0] : recorders[1];
    const address =
      `host=localhost hostaddr=127.0.0.1 port=${port} ${who} ${CONNECTIONS[connection]} sslrootcert=${files.ca.certFile} ` +
      `max_protocol_version=${protocol} gssencmode=disable`;
    return JSON.stringify({ address, way, mark: `${place}${number}x` });
  });
  const child = run(python, ['-B', PROGRAM, postgres.url()], { env, timeout: 100_000 });
  child.child.stdin?.end(cases.join('\n'));
  const { stdout } = await child;
  outcomes.set(
    place,
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown),
  );
  heard.set(place, [...recorders[0].heard, ...recorders[1].heard]);
  for (const recorder of recorders) recorder.close();
}

describe.each(COMBINATIONS)('over $connection, protocol $protocol', ({ connection, protocol, way }) => {
  const number = COMBINATIONS.findIndex(
    (one) => one.connection === connection && one.protocol === protocol && one.way === way,
  );

  test(`${way} stops the statement and leaves the session as it is`, ({ skip }) => {
    if (missing !== '') skip(missing);
    const gateway = outcomes.get('gateway')?.[number];
    expect(gateway).toMatchObject({
      protocol: protocol === '3.0' ? 30_000 : 30_002,
      tls: connection !== 'plaintext',
      alpn: connection === 'plaintext' ? null : 'postgresql',
      cancel: { sent: true, outcome: '57014', afterwards: 1 },
    });
    // Older ones know neither the protocol nor direct TLS.
    if (postgres.version >= 18) expect(outcomes.get('direct')?.[number]).toEqual(gateway);
  });
});

test('a key is long in protocol 3.2, and none can be read on the way where the session is encrypted, as on PostgreSQL', ({
  skip,
}) => {
  if (missing !== '') skip(missing);
  const counts = (place: Place): Record<string, number> => {
    const all: Record<string, number> = {};
    for (const packet of heard.get(place) ?? []) all[packet] = (all[packet] ?? 0) + 1;
    return all;
  };
  const gateway = counts('gateway');
  expect(gateway).toEqual({
    StartupMessage: 8,
    'CancelRequest, key of 4 bytes': 4,
    'CancelRequest, key of 32 bytes': 4,
    SSLRequest: 12,
    TLS: 12,
  });
  if (postgres.version >= 18) expect(counts('direct')).toEqual(gateway);
});
