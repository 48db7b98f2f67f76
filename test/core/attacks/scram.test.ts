/** Clients that leave, stall or break off at every step of a login by SCRAM: nothing is left of them, and nobody slips in. */
import { expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import { parseRole } from '../../../core/contract/names.ts';
import type { AnyPlugin, Plugin } from '../../../core/contract/plugin.ts';
import type { CloseReason } from '../../../core/contract/session.ts';
import { makeScramVerifier } from '../../../core/wire/scram-verifier.ts';
import { message, startup } from '../../support/raw-client.ts';
import type { RawClient } from '../../support/raw-client.ts';
import { initialResponse, nonceOf, offeredTo, playScram, proofOf } from '../../support/scram-dialogue.ts';
import type { ScramScript } from '../../support/scram-dialogue.ts';
import { attacked } from './attacked.ts';

const here = attacked();
const verifier = makeScramVerifier('pencil');
const PLAIN = 'SCRAM-SHA-256';

/** Lets in who proves the password, and counts what each session must have exactly once. */
function proving(lookup = (): Promise<Awaited<typeof verifier>> => verifier) {
  const counts = { started: 0, closed: [] as CloseReason['kind'][], released: 0 };
  const plugin: Plugin<never, 'identity'> = {
    name: 'proving',
    credentials: ['scram'],
    provides: ['identity'],
    onStartup(session) {
      counts.started += 1;
      session.defer(() => void (counts.released += 1));
    },
    async onAuth(session, upstream) {
      await session.scram(lookup);
      const expiresAt = new Date(Date.now() + 3_600_000);
      session.establish('identity', { issuer: 'password:', subject: 'a', expiresAt, claims: {} });
      return { ...upstream, role: parseRole('reader') };
    },
    onClose: (_, { kind }) => void counts.closed.push(kind),
  };
  return { plugin, counts };
}

const right: ScramScript = {
  mechanism: PLAIN,
  first: 'n,,n=,r=mine',
  final(challenge) {
    const withoutProof = `c=biws,r=${nonceOf(challenge)}`;
    return `${withoutProof},p=${proofOf('pencil', 'n=,r=mine', challenge, withoutProof)}`;
  },
};

/** Each goes so far, and stops. */
const STEPS: Readonly<Record<string, (client: RawClient) => Promise<unknown>>> = {
  'the startup packet': async (client) => client.send(startup({ user: 'a', database: 'orders' })),
  'the offer': (client) => offeredTo(client, 'a', 'orders'),
  'half of the first message': async (client) => {
    await offeredTo(client, 'a', 'orders');
    client.send(initialResponse(PLAIN, 'n,,n=,r=mine').subarray(0, 12));
  },
  'an empty challenge': async (client) => {
    await offeredTo(client, 'a', 'orders');
    client.send(initialResponse(PLAIN, undefined));
    await client.message();
  },
  'the challenge': async (client) => {
    await offeredTo(client, 'a', 'orders');
    await playScram(client, { mechanism: PLAIN, first: 'n,,n=,r=mine' });
  },
  'half of the last message': async (client) => {
    await offeredTo(client, 'a', 'orders');
    await playScram(client, { mechanism: PLAIN, first: 'n,,n=,r=mine' });
    client.send(message('p', 'c=biws,r=').subarray(0, 9));
  },
};

test.each(Object.entries(STEPS))('a client that leaves behind %s leaves nothing', async (_, go) => {
  const { plugin, counts } = proving();
  const { port, gateway } = await here.gateway({ listen: { port: 0, auth: 'scram' }, plugins: [plugin] });
  for (let time = 0; time < 10; time += 1) {
    const client = await here.connect(port);
    await go(client);
    client.destroy();
  }
  // The last one may not have been heard yet.
  await expect.poll(() => counts.started > 5 && counts.released === counts.started).toBe(true);
  expect(counts.closed.every((kind) => kind === 'lost')).toBe(true);
  await gateway.stop();
  expect(counts.released).toBe(counts.started);
  expect(counts.closed).toHaveLength(counts.started);
});

test.each(Object.entries(STEPS))('a client that says nothing behind %s is out of time', async (_, go) => {
  const { plugin, counts } = proving();
  const { port } = await here.gateway({
    listen: { port: 0, auth: 'scram' },
    plugins: [plugin],
    loginTimeout: '300ms',
  });
  const client = await here.connect(port);
  await go(client);
  expect((await client.rest()).includes('C57014\0')).toBe(true);
  await expect.poll(() => counts.released).toBe(1);
});

test('a lookup that is never over keeps neither a client nor the gateway', async () => {
  const { plugin, counts } = proving(() => new Promise(() => {}));
  const { port, gateway } = await here.gateway({ listen: { port: 0, auth: 'scram' }, plugins: [plugin] });
  const client = await here.connect(port);
  await offeredTo(client, 'a', 'orders');
  client.send(initialResponse(PLAIN, 'n,,n=,r=mine'));
  const waiting = await here.connect(port);
  await offeredTo(waiting, 'a', 'orders');
  client.destroy();
  await gateway.stop();
  expect((await waiting.rest()).toString('latin1')).toContain('C57P01\0');
  expect(counts.started).toBe(2);
});

test('what a lookup throws is what the client reads', async () => {
  const thrown = new GatewayError('cannot_connect_now', 'passwords cannot be verified at the moment');
  const { plugin } = proving(() => Promise.reject(thrown));
  const { port } = await here.gateway({ listen: { port: 0, auth: 'scram' }, plugins: [plugin] });
  const client = await here.connect(port);
  await offeredTo(client, 'a', 'orders');
  client.send(initialResponse(PLAIN, 'n,,n=,r=mine'));
  expect(await client.error()).toMatchObject({ C: '57P03' });
});

test('two plugins that ask share one answer, and a proof is good for one login', async () => {
  const { plugin } = proving();
  const again: AnyPlugin = {
    name: 'again',
    onAuth: (session) => session.scram(() => Promise.reject(new Error('asked twice'))),
  };
  const { port } = await here.gateway({ listen: { port: 0, auth: 'scram' }, plugins: [plugin, again] });
  const client = await here.connect(port);
  await offeredTo(client, 'a', 'orders');
  let said = '';
  const end = await playScram(client, {
    ...right,
    final: (challenge) => (said = right.final?.(challenge) ?? ''),
  });
  expect(end.at).toBe('end');
  await client.until('Z');
  const replaying = await here.connect(port);
  await offeredTo(replaying, 'a', 'orders');
  expect(await playScram(replaying, { ...right, final: () => said })).toMatchObject({
    at: 'final',
    refused: { code: '08P01', message: 'invalid SCRAM response' },
  });
});

test('what is sent behind the proof is not read before the login is over', async () => {
  const { plugin, counts } = proving();
  const { port } = await here.gateway({ listen: { port: 0, auth: 'scram' }, plugins: [plugin] });
  const client = await here.connect(port);
  await offeredTo(client, 'a', 'orders');
  const end = await playScram(client, right);
  client.send(message('Q', 'select 1\0'));
  expect(end.at).toBe('end');
  const types = (await client.until('Z')).map(({ type }) => type).join('');
  expect(types).toMatch(/^R[SKN]*Z$/);
  expect((await client.until('Z')).map(({ type }) => type).join('')).toBe('TDCZ');
  client.destroy();
  await expect.poll(() => counts.released).toBe(1);
});
