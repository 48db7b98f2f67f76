/** The emergency: a signing key was stolen, and its issuer's keys have to go, with all that they vouched for. */
import { describe, expect, test } from 'vitest';
import type { RunningGateway } from '../support/gateway.ts';
import { issuer } from '../support/token.ts';
import { hang, json, keyIssuer } from './key-issuer.ts';
import { good, hint, next, openStore } from './key-stores.ts';
import { errorOf, session, tokenGateway, tokens } from './token-sessions.ts';

const stolen = issuer({ algorithms: ['ES256'], issuer: 'https://stolen.example' });
const replaced = issuer({ algorithms: ['ES256'], issuer: 'https://stolen.example', generation: '2' });

async function purge({ adminPort }: RunningGateway, name: unknown): Promise<number> {
  const { status } = await fetch(`http://127.0.0.1:${adminPort}/v1/keys/purge`, {
    method: 'POST',
    headers: { authorization: `Bearer ${tokens.sign({ operator: 'yes' })}` },
    body: JSON.stringify({ issuer: name }),
  });
  return status;
}

test('a purge drops keys and remembered tokens at once, and fetches the new ones', async () => {
  const keys = await keyIssuer(json(stolen.jwks));
  const issuers = [tokens.options, { ...stolen.options, jwks: keys.url }];
  const gateway = await tokenGateway({ jwt: { issuers } });
  const token = stolen.sign();
  const { client } = await session(gateway, token);
  keys.answer(json(replaced.jwks));
  await session(gateway, token);
  expect(await purge(gateway, stolen.issuer)).toBe(200);
  expect((await errorOf(session(gateway, token))).code).toBe('28P01');
  await session(gateway, replaced.sign());
  expect(keys.requests()).toBe(2);
  // Who is in stays: that is what revocations are for.
  expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
  expect(gateway.lines('keys dropped')[0]).toMatchObject({ issuer: stolen.issuer, by: { subject: 'alice' } });
});

test('where there are no new keys yet nobody gets in, and the operator is told', async () => {
  const keys = await keyIssuer(json(stolen.jwks));
  const gateway = await tokenGateway({
    jwt: { issuers: [tokens.options, { ...stolen.options, jwks: keys.url }] },
  });
  await session(gateway, stolen.sign());
  keys.answer((response) => response.writeHead(503).end());
  expect(await purge(gateway, stolen.issuer)).toBe(503);
  expect((await errorOf(session(gateway, stolen.sign()))).code).toBe('57P03');
});

test.each(['https://unknown.example', undefined, null, 7, ['https://stolen.example']])(
  'an issuer that is none is told: %j',
  async (name) => {
    expect(await purge(await tokenGateway(), name)).toBe(404);
  },
);

describe('an answer that was under way', () => {
  test('is not believed, and there is never a second request meanwhile', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url);
    await store.find(hint);
    let answer = (): void => {};
    keys.answer((response, request) => {
      answer = () => json(good.jwks)(response, request);
    });
    const asking = store.refresh();
    await expect.poll(() => keys.open()).toBe(1);
    const purged = store.purge();
    const old = answer;
    old();
    await asking;
    expect(store.problem()).toMatch('dropped by an operator');
    await expect.poll(() => answer !== old).toBe(true);
    keys.answer(json(next.jwks));
    answer();
    await purged;
    await store.refresh();
    await expect(store.find(hint)).rejects.toThrow('no key');
    expect(keys.mostAtOnce()).toBe(1);
  });

  test('that never comes does not keep the stolen keys in use', async () => {
    const keys = await keyIssuer(json(good.jwks));
    const store = openStore(keys.url);
    await store.find(hint);
    keys.answer(hang);
    void store.purge();
    expect(store.problem()).toMatch('dropped by an operator');
    await keys.stop();
    await expect(store.find(hint)).rejects.toThrow();
  });
});
