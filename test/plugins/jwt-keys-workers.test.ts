/** Keys in a gateway of several workers: an issuer is asked once for all of them, and by another where one dies meanwhile. */
import { expect, onTestFinished, test } from 'vitest';
import { sharedWith } from '../../core/gateway/shared-with-workers.ts';
import { keySource } from '../../plugins/jwt/key-source.ts';
import { KeyStore } from '../../plugins/jwt/key-store.ts';
import { SharedSource } from '../../plugins/jwt/shared-source.ts';
import type { KeysTold } from '../../plugins/jwt/shared-source.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import { linkWorkers } from '../support/worker-links.ts';
import type { LinkedWorkers } from '../support/worker-links.ts';
import { host } from './gateway.ts';
import type { PluginHost } from './gateway.ts';
import { hang, json, keyIssuer, late } from './key-issuer.ts';
import { good, hint, next, nextHint, silent, subject } from './key-stores.ts';

function workers(
  url: string,
  count: number,
): LinkedWorkers & { readonly begin: (at: number) => Promise<PluginHost> } {
  const linked = linkWorkers(count);
  onTestFinished(linked.close);
  return {
    ...linked,
    async begin(at) {
      const plugin = jwt({ issuers: [{ ...good.options, jwks: url }] });
      const running = await host([plugin], '/', new Map(), linked.links[at - 1]);
      onTestFinished(() => running.stop());
      return running;
    },
  };
}

const token = (): string => good.sign({}, { alg: 'ES256' });

test('workers that start at once ask an issuer once, and one that starts later not at all', async () => {
  const issuer = await keyIssuer(late(good.jwks));
  const { begin } = workers(issuer.url, 3);
  const first = await Promise.all([begin(1), begin(2)]);
  for (const worker of first) expect(await subject(worker, token())).toBe('alice');
  expect(await subject(await begin(3), token())).toBe('alice');
  expect(issuer.requests()).toBe(1);
});

test('tokens with unknown keys make all workers together ask no more often than one', async () => {
  const issuer = await keyIssuer(json(good.jwks));
  const { begin } = workers(issuer.url, 2);
  const both = await Promise.all([begin(1), begin(2)]);
  for (const worker of both) expect(await subject(worker, token())).toBe('alice');
  for (let n = 0; n < 20; n++)
    for (const worker of both)
      await expect(subject(worker, next.sign({}, { alg: 'ES256' }))).rejects.toThrow();
  expect(issuer.requests()).toBe(1);
});

test('a worker that dies while it asks fails no login of another, which asks anew', async () => {
  const issuer = await keyIssuer(hang);
  const { begin, kill } = workers(issuer.url, 2);
  await begin(1);
  await expect.poll(() => issuer.requests()).toBe(1);
  const second = await begin(2);
  issuer.answer(json(good.jwks));
  const login = subject(second, token());
  kill(1);
  expect(await login).toBe('alice');
  expect(issuer.requests()).toBe(2);
});

test('keys that are dropped are dropped by all workers, which have the new ones from one question', async () => {
  const issuer = await keyIssuer(json(good.jwks));
  const { links, close } = linkWorkers(2);
  onTestFinished(close);
  const stores = await Promise.all(
    links.map(async (link) => {
      const parts = sharedWith({ coordination: link }, 'jwt');
      const board = await parts.board<KeysTold>('fetched keys');
      const source = keySource({ issuer: good.issuer, jwks: issuer.url }, '/');
      const shared = new SharedSource(source, 'keys', board, parts);
      const store = new KeyStore({ issuer: good.issuer, source: shared, maxStaleMs: 60_000 });
      onTestFinished(store.open(silent));
      return store;
    }),
  );
  await expect.poll(() => stores.map((store) => store.problem())).toEqual([undefined, undefined]);
  issuer.answer(json(next.jwks));
  await stores[0]?.purge();
  for (const store of stores) await store.find(nextHint);
  await expect(stores[1]?.find(hint)).rejects.toThrow(/no key of the issuer fits/);
  expect(issuer.requests()).toBe(2);
});
