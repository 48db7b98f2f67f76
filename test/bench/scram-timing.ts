/**
 * `npx jiti test/bench/scram-timing.ts [tries]`: how long a wrong password of a user, and any password of a user that there is not,
 * take to be refused, in turn, over plaintext on loopback. Prints the medians, and whether the two can be told apart.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { Reader } from '../../core/client/reader.ts';
import { askScram } from '../../core/client/scram.ts';
import { refuse } from '../../core/client/refuse.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import { Channel } from '../../core/net/channel.ts';
import type { ScramVerifier } from '../../core/contract/scram.ts';
import { makeScramVerifier } from '../../core/wire/scram-verifier.ts';
import { RawClient, message } from '../support/raw-client.ts';
import { initialResponse, nonceOf } from '../support/scram-dialogue.ts';
import { percentile } from './percentile.ts';

const TRIES = Number(process.argv[2] ?? 10_000);
const USERS = 1_000;

const passwords = new Map<string, ScramVerifier>();
const one = await makeScramVerifier('of everybody here');
for (let number = 0; number < USERS; number += 1)
  passwords.set(`known${number}`, { ...one, salt: randomBytes(16) });

let user = '';
const server = net.createServer({ pauseOnConnect: true }, (socket) => {
  const reader = new Reader(new Channel(socket));
  askScram(reader, { user, lookup: (name) => passwords.get(name) }).catch((error: unknown) => {
    if (error instanceof GatewayError) refuse(reader.channel, error);
  });
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const { port } = server.address() as net.AddressInfo;

/** Milliseconds to the challenge, and from the proof to the refusal. */
async function refusal(name: string): Promise<number> {
  user = name;
  const client = await RawClient.connect(port);
  await client.message();
  const start = performance.now();
  client.send(initialResponse('SCRAM-SHA-256', 'n,,n=,r=mine'));
  const nonce = nonceOf((await client.message()).body.toString('latin1', 4));
  client.send(message('p', `c=biws,r=${nonce},p=${randomBytes(32).toString('base64')}`));
  await client.error();
  const took = performance.now() - start;
  client.destroy();
  return took;
}

/** Mann-Whitney U as a normal deviate: beyond 3 either way the two are not the same. */
function deviate(left: readonly number[], right: readonly number[]): number {
  const all = [...left.map((value) => [value, 0] as const), ...right.map((value) => [value, 1] as const)];
  all.sort(([a], [b]) => a - b);
  const ranks = all.reduce((sum, [, side], at) => sum + (side === 0 ? at + 1 : 0), 0);
  const [n, m] = [left.length, right.length];
  const u = ranks - (n * (n + 1)) / 2;
  return (u - (n * m) / 2) / Math.sqrt((n * m * (n + m + 1)) / 12);
}

const [known, unknown]: [number[], number[]] = [[], []];
for (let time = 0; time < 500; time += 1) await refusal(time % 2 === 0 ? 'known1' : 'other1');
for (let time = 0; time < TRIES; time += 1) {
  const number = Math.floor(Math.random() * USERS);
  // Of each pair by chance the one or the other comes first.
  const first = Math.random() < 0.5;
  for (const is of [first, !first])
    (is ? known : unknown).push(await refusal(`${is ? 'known' : 'other'}${number}`));
}
const show = (values: readonly number[]): string =>
  [50, 90, 99].map((rank) => `p${rank} ${(percentile([...values], rank) * 1_000).toFixed(1)} µs`).join(', ');
console.log(`known users, wrong password: ${show(known)}\nusers that there are not:    ${show(unknown)}`);
console.log(
  `difference of the medians ${((percentile([...known], 50) - percentile([...unknown], 50)) * 1_000).toFixed(2)} µs`,
);
console.log(
  `Mann-Whitney: ${deviate(known, unknown).toFixed(2)} standard deviations over ${TRIES} tries of each`,
);
server.close();
