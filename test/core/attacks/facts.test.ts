/** Facts stated twice, late, by others, or taken back: whoever relies on one can. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { GatewayError } from '../../../core/contract/errors.ts';
import type { Identity } from '../../../core/contract/facts.ts';
import type { AnyPlugin } from '../../../core/contract/plugin.ts';
import type { Session } from '../../../core/contract/session.ts';
import { jwt } from '../../../plugins/jwt/index.ts';
import { roles } from '../../../plugins/roles/index.ts';
import { logIn } from '../../support/gateway.ts';
import { message, startup } from '../../support/raw-client.ts';
import { scripted } from '../upstream/support.ts';
import { attacked } from './attacked.ts';

const here = attacked();

type Loose = { establish(name: string, value: unknown): void; renew(facts: object): Promise<void> };
const loose = (session: unknown): Loose => session as Loose;
const FORGED = { issuer: 'x', subject: 'root', expiresAt: new Date(), claims: { role: 'writer' } };

async function refusal(port: number): Promise<string> {
  const attempt = logIn(await here.connect(port), { user: '_' }, { token: here.keys.sign() });
  return attempt.then(
    () => 'logged in',
    (error: unknown) => /"C":"(\w+)"/.exec(String(error))?.[1] ?? String(error),
  );
}

test('a fact from a plugin that does not provide it, before, between or after, refuses the login', async () => {
  const forging: Record<string, AnyPlugin> = {
    'before any credential': { name: 'forging', onStartup: (s) => loose(s).establish('identity', FORGED) },
    'before its owner': { name: 'forging', onAuth: (s) => loose(s).establish('identity', FORGED) },
    'without waiting': {
      name: 'forging',
      onAuth: (s) => void Promise.resolve().then(() => loose(s).establish('tenant', 'acme')),
    },
  };
  for (const [when, plugin] of Object.entries(forging)) {
    const { port } = await here.gateway({ plugins: [plugin, ...here.policies] });
    const before = here.proxy.count();
    expect([when, await refusal(port)]).toEqual([when, 'XX000']);
    expect(here.proxy.count()).toBe(before);
  }
});

test('the role stays the token’s when a later plugin tries to state another identity or to rename the first', async () => {
  const forging: AnyPlugin = {
    name: 'forging',
    onAuth(session) {
      const { identity } = session.facts;
      expect(() => loose(session).establish('identity', FORGED)).toThrow('already');
      expect(() => Object.assign(session.facts, { identity: FORGED })).toThrow(TypeError);
      expect(() => Object.assign(identity?.claims ?? {}, { role: 'writer' })).toThrow(TypeError);
    },
  };
  const [verify, map] = [jwt({ issuers: [here.keys.options] }), roles({ claim: 'role', allow: ['reader'] })];
  const { port } = await here.gateway({ plugins: [verify, forging, map] });
  expect(await refusal(port)).toBe('logged in');
});

test('a renewal that takes a fact away is refused, and changes to it while it is checked do not count', async () => {
  const sessions: Session[] = [];
  const checked: unknown[] = [];
  const guard: AnyPlugin = {
    name: 'guard',
    onStartup: (session) => void sessions.push(session),
    checks: {
      async identity(identity, _, renewed) {
        await sleep(20);
        checked.push(identity.subject);
        if (renewed && identity.subject === 'root') throw new GatewayError('insufficient_privilege', 'no');
      },
    },
  };
  const { port } = await here.gateway({ plugins: [guard, ...here.policies] });
  expect(await refusal(port)).toBe('logged in');
  const [session] = sessions;
  const known = session?.facts.identity as Identity;
  await expect(loose(session).renew({ identity: undefined })).rejects.toThrow();
  await expect(loose(session).renew({ identity: FORGED })).rejects.toThrow('no');
  const moving = { identity: { ...known, tokenId: 'fresh' } };
  const renewal = loose(session).renew(moving);
  moving.identity = { ...known, tokenId: 'root', subject: 'root' };
  await renewal;
  expect(session?.facts.identity).toMatchObject({ subject: 'alice', tokenId: 'fresh' });
  expect(checked).toEqual(['alice', 'root', 'alice']);
});

test('a client that leaves while the issuer hangs takes its session along, and a second one shares the question', async () => {
  const mute = await scripted((socket) => void socket.resume());
  const closed: unknown[] = [];
  let presented = 0;
  const watching: AnyPlugin = {
    name: 'watching',
    onAuth: async (session) => {
      await session.token();
      presented += 1;
    },
    onClose: (_, reason) => void closed.push(reason),
  };
  const hanging = jwt({
    issuers: [{ ...here.keys.options, jwks: `http://127.0.0.1:${mute.port}/jwks.json` }],
  });
  const { port } = await here.gateway({
    plugins: [watching, hanging, roles({ claim: 'role', allow: ['reader'] })],
  });
  const clients = await Promise.all([1, 2, 3].map(async () => here.connect(port)));
  for (const client of clients) {
    client.send(startup({ user: '_', database: 'orders' }));
    await client.until('R');
    client.send(message('p', `${here.keys.sign()}\0`));
  }
  await expect.poll(() => [presented, mute.accepted]).toEqual([3, 1]);
  clients[0]?.destroy();
  await expect.poll(() => closed).toContainEqual({ kind: 'lost' });
  // The others learn that it is not their fault: come back later.
  expect((await clients[1]?.error())?.['C']).toBe('57P03');
  expect((await clients[2]?.error())?.['C']).toBe('57P03');
  await expect.poll(() => closed.length).toBe(3);
  await mute.stop();
});
