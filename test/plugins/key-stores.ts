/** Key stores for tests: at a pace that shows in milliseconds what takes minutes. */
import { onTestFinished } from 'vitest';
import { keySource } from '../../plugins/jwt/key-source.ts';
import type { Pace } from '../../plugins/jwt/key-source.ts';
import { KeyStore } from '../../plugins/jwt/key-store.ts';
import { jwt } from '../../plugins/jwt/index.ts';
import type { IssuerOptions, KeysFrom } from '../../plugins/jwt/index.ts';
import { issuer } from '../support/token.ts';
import { host } from './gateway.ts';
import type { Kept, PluginHost } from './gateway.ts';

/** The issuer whose keys are kept. */
export const good = issuer({ algorithms: ['ES256', 'EdDSA'] });
/** The same issuer with the keys that come next. */
export const next = issuer({ algorithms: ['ES256', 'EdDSA'], generation: '2' });

/** What picks a key of `good`. */
export const hint = { alg: 'ES256', kid: good.kid('ES256') } as const;
/** What picks a key of `next`. */
export const nextHint = { alg: 'ES256', kid: next.kid('ES256') } as const;

/** A logger nobody reads. */
export const silent = { info() {}, warn() {}, error() {} };

/** A store at the pace of its source, unless given another; not open yet. */
export function keyStore(url: string, pace: Partial<Pace> = {}, maxStaleMs = 60_000): KeyStore {
  const source = keySource({ issuer: good.issuer, jwks: url }, '/');
  return new KeyStore({
    issuer: good.issuer,
    source: { ...source, pace: { ...source.pace, ...pace } },
    maxStaleMs,
  });
}

/** A store that asks in the background until the test ends. */
export function openStore(...how: Parameters<typeof keyStore>): KeyStore {
  const store = keyStore(...how);
  onTestFinished(store.open(silent));
  return store;
}

/** The jwt plugin with one issuer, at its real pace, until the test ends. */
export async function jwtGateway(
  jwks: KeysFrom,
  more: { readonly options?: Partial<IssuerOptions>; readonly directory?: string; readonly kept?: Kept } = {},
): Promise<PluginHost> {
  const plugin = jwt({ issuers: [{ ...good.options, jwks, ...more.options }] });
  const running = await host([plugin], more.directory, more.kept);
  onTestFinished(() => running.stop());
  return running;
}

/** The subject of a login with this token. @throws what the login threw */
export async function subject(running: PluginHost, token: string): Promise<string | undefined> {
  return (await running.login({ token })).facts.identity?.subject;
}
