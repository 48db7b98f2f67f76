/** A bad day at the issuers, through a real gateway at its real pace: rotation under load, and every way to be of no use. */
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { certificates } from '../support/certificates.ts';
import type { Certificates } from '../support/certificates.ts';
import { issuer } from '../support/token.ts';
import type { TokenIssuer } from '../support/token.ts';
import { hang, json, keyIssuer } from './key-issuer.ts';
import type { Answer, KeyIssuer } from './key-issuer.ts';
import { tokenGateway } from './token-sessions.ts';

/** Longer than the 30 s between two requests for an unknown kid, so that one falls into it. */
const RUN_MS = 44_000;
const ROTATE_MS = 2_000;
/** So many keys are published before they sign: half a minute. */
const AHEAD = 16;

let made: Certificates;
beforeAll(async () => {
  made = await certificates();
});
afterAll(() => {
  made.remove();
});

/** An issuer over https that signs with another key every two seconds. */
async function rotating(): Promise<{ keys: KeyIssuer; name: string; sign: () => string }> {
  const name = 'https://rotating.example';
  const startedAt = Date.now();
  const generations: TokenIssuer[] = [];
  const generation = (index: number): TokenIssuer =>
    (generations[index] ??= issuer({ algorithms: ['ES256'], issuer: name, generation: String(index) }));
  const current = (): number => Math.floor((Date.now() - startedAt) / ROTATE_MS);
  const keys = await keyIssuer((response, request) => {
    const from = Math.max(0, current() - 2);
    const published = Array.from({ length: AHEAD + 3 }, (_, index) => generation(from + index));
    json({ keys: published.flatMap(({ jwks }) => jwks.keys) })(response, request);
  }, made.server);
  return { keys, name, sign: () => generation(current()).sign({ jti: String(Math.random()) }) };
}

const USELESS: Readonly<Record<string, Answer>> = {
  down: (response) => response.destroy(),
  hanging: hang,
  empty: json({ keys: [] }),
  huge: (response) => response.end(Buffer.alloc(10_000_000, 32)),
  redirecting: (response) => response.writeHead(302, { location: 'https://127.0.0.1/' }).end(),
};

interface Useless {
  readonly name: string;
  readonly keys: KeyIssuer;
  readonly tokens: TokenIssuer;
  readonly turn: () => void;
}

/** Issuers that answer well until they are turned. */
async function useless(): Promise<readonly Useless[]> {
  return Promise.all(
    Object.entries(USELESS).map(async ([name, answer]) => {
      const tokens = issuer({ algorithms: ['ES256'], issuer: `https://${name}.example` });
      const keys = await keyIssuer(json(tokens.jwks), made.server);
      return { name, keys, tokens, turn: () => keys.answer(answer) };
    }),
  );
}

/** Logs in, asks once, leaves; the SQLSTATE or code of what went wrong. */
async function visit(port: number, token: string): Promise<string | undefined> {
  const client = new Client({ host: '127.0.0.1', port, user: '_', database: 'orders', password: token });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('select 1');
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? 'unknown';
  } finally {
    await client.end().catch(() => {});
  }
}

test(
  'no good token is refused, and no issuer is asked more than once in 30 s',
  { timeout: 240_000 },
  async () => {
    const [rotation, bad] = [await rotating(), await useless()];
    const from = (name: string, { url }: KeyIssuer) => ({
      issuer: name,
      audience: 'postern',
      jwks: url,
      ca: made.ca.certFile,
    });
    const startedAt = performance.now();
    const { port } = await tokenGateway({
      jwt: {
        issuers: [
          from(rotation.name, rotation.keys),
          ...bad.map(({ tokens, keys }) => from(tokens.issuer, keys)),
        ],
      },
      pool: { idleTimeout: '10m', size: 10 },
    });
    for (const { tokens } of bad) expect(await visit(port, tokens.sign())).toBeUndefined();
    for (const { turn } of bad) turn();

    const outcomes = new Map<string, number>();
    const until = performance.now() + RUN_MS;
    const count = (what: string, outcome: string | undefined): void => {
      const key = `${what}: ${outcome ?? 'in'}`;
      outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
    };
    const rotatingLogins = async (): Promise<void> => {
      while (performance.now() < until) count('rotating', await visit(port, rotation.sign()));
    };
    const badDay = async ({ name, tokens }: Useless): Promise<void> => {
      while (performance.now() < until) {
        count(name, await visit(port, tokens.sign({ jti: String(Math.random()) })));
        const unknown = await visit(port, tokens.sign({}, { kid: `unknown-${Math.random()}` }));
        if (unknown === undefined) count(`${name}, unknown kid`, unknown);
        await sleep(50);
      }
    };
    await Promise.all([rotatingLogins(), rotatingLogins(), ...bad.map(badDay)]);

    const most = Math.floor((performance.now() - startedAt) / 30_000) + 1;
    const names = ['rotating', ...bad.map(({ name }) => name)];
    expect([...outcomes.keys()].toSorted()).toEqual(names.map((name) => `${name}: in`).toSorted());
    expect(outcomes.get('rotating: in')).toBeGreaterThan(RUN_MS / ROTATE_MS);
    for (const { name, keys } of [{ name: 'rotating', keys: rotation.keys }, ...bad]) {
      expect(keys.requests(), name).toBeGreaterThan(1);
      expect(keys.requests(), name).toBeLessThanOrEqual(most);
      expect(keys.mostAtOnce(), name).toBe(1);
    }
    console.info(`logins: ${JSON.stringify(Object.fromEntries(outcomes))}`);
  },
);
