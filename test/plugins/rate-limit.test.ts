/** The rate-limit plugin in one gateway before a real PostgreSQL: who may come how often, and what happens to the rest. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import { describe, expect, test, vi } from 'vitest';
import type { AnyPlugin, Session } from '../../core/index.ts';
import { rateLimit } from '../../plugins/rate-limit/index.ts';
import { RawClient, startup } from '../support/raw-client.ts';
import { limited, login, refusal, reload, sign } from './rate-limited.ts';
import type { Login } from './rate-limited.ts';

const statingTenant: AnyPlugin = {
  name: 'stating-tenant',
  needs: ['identity'],
  provides: ['tenant'],
  onAuth: (session) => session.establish('tenant', session.facts.identity.claims['org'] as never),
};

/** Outcomes of so many `select 1`, one behind the other: the SQLSTATE, or `ok`. */
async function run(client: Client, times: number, prepared = false): Promise<string[]> {
  const outcomes: string[] = [];
  for (let i = 0; i < times; i += 1) {
    const query = prepared ? { name: 'one', text: 'select 1' } : 'select 1';
    outcomes.push((await refusal(client.query(query))).slice(0, 5));
  }
  return outcomes;
}

const ok = 'it was not refused'.slice(0, 5);

describe('connections', () => {
  const byAddress = { connections: { per: 'address', limit: '3/d' } } as const;

  test('of one address over the limit are refused before anybody is asked for a token', async () => {
    const running = await limited(byAddress);
    for (let i = 0; i < 3; i += 1) await login(running);
    const raw = await RawClient.connect(running.port);
    raw.send(startup({ user: '_', database: 'orders' }));
    expect(await raw.error()).toMatchObject({
      S: 'FATAL',
      C: '53400',
      M: 'too many connections from this address',
      D: 'The limit is 3/d.',
      H: 'Try again in 480 minutes.',
    });
    await login(running, { from: '127.0.0.2' });
  });

  test('of networks that are named are not counted', async () => {
    const running = await limited({
      connections: { per: 'address', limit: '1/d', except: ['127.0.0.3/32'] },
    });
    for (let i = 0; i < 4; i += 1) await login(running, { from: '127.0.0.3' });
    await login(running);
    expect(await refusal(login(running))).toMatch(/^53400/);
  });

  test.each<[string, Login, Login, string]>([
    ['subject', { sub: 'alice' }, { sub: 'bob' }, 'for this subject'],
    ['tenant', { org: 'acme' }, { org: 'umbrella' }, 'for this tenant'],
    ['database', { database: 'orders' }, { database: 'archive' }, 'for this database'],
  ])('are counted by %s', async (per, one, other, whose) => {
    const options = { connections: { per: per as 'subject', limit: '2/d' } } as const;
    const plugins = per === 'tenant' ? [statingTenant] : [];
    const running = await limited(options, { plugins });
    await login(running, one);
    await login(running, one);
    expect(await refusal(login(running, one))).toMatch(`53400: too many connections ${whose} (Try again in`);
    await login(running, other);
  });

  test('of a list have to have room in each, and take nothing from the others if they have not', async () => {
    const running = await limited({
      connections: [
        { per: 'address', limit: '5/d' },
        { per: 'address', limit: '2/d' },
      ],
    });
    await login(running);
    await login(running);
    for (let i = 0; i < 5; i += 1) expect(await refusal(login(running))).toMatch(/^53400/);
    await reload(running, { connections: { per: 'address', limit: '5/d' } });
    for (let i = 0; i < 3; i += 1) await login(running);
    expect(await refusal(login(running))).toMatch(/^53400/);
  });

  test('a storm of 200 gets no more than burst and limit allow, and what was refused leaves nothing behind', async () => {
    const running = await limited({ connections: { per: 'address', limit: '5/s' } });
    const from = performance.now();
    let accepted = 0;
    const storm = Array.from({ length: 200 }, async () => {
      for (let i = 0; i < 4; i += 1) {
        const raw = await RawClient.connect(running.port);
        raw.send(startup({ user: '_', database: 'orders' }));
        const { type } = await raw.message();
        if (type === 'R') accepted += 1;
        raw.destroy();
        await sleep(Math.random() * 200);
      }
    });
    await Promise.all(storm);
    const seconds = (performance.now() - from) / 1_000;
    expect(accepted).toBeGreaterThanOrEqual(5);
    expect(accepted).toBeLessThanOrEqual(5 + 5 * seconds);
    await vi.waitFor(
      () => expect(running.lines('login refused').length).toBeGreaterThanOrEqual(800 - accepted),
      {
        timeout: 20_000,
      },
    );
  });
});

describe('failed logins', () => {
  const bad = { password: 'not a token' };
  const wrong = '28P01: password authentication failed for user "_"';

  test('close the door to an address, for a good token as well, and to no other address', async () => {
    const running = await limited({ failedLogins: { per: 'address', limit: '3/d' } });
    for (let i = 0; i < 3; i += 1) expect(await refusal(login(running, bad))).toBe(wrong);
    expect(await refusal(login(running))).toMatch(
      /^53400: too many failed logins from this address \(Try again/,
    );
    await login(running, { from: '127.0.0.2' });
  });

  test('are outweighed by good ones behind the same address', async () => {
    const running = await limited({ failedLogins: { per: 'address', limit: '2/d' } });
    for (let i = 0; i < 6; i += 1) {
      expect(await refusal(login(running, bad))).toBe(wrong);
      await login(running);
    }
  });

  test('keep the door closed as long as the config says', async () => {
    const running = await limited({ failedLogins: { per: 'address', limit: '2/s', burst: 1, block: '1h' } });
    expect(await refusal(login(running, bad))).toBe(wrong);
    expect(await refusal(login(running))).toMatch(/Try again in (59|60) minutes/);
  });

  test('count for a subject only with a good token', async () => {
    const running = await limited({ failedLogins: { per: 'subject', limit: '2/d' } });
    for (let i = 0; i < 4; i += 1) expect(await refusal(login(running, bad))).toBe(wrong);
    for (let i = 0; i < 2; i += 1) expect(await refusal(login(running, { role: 'owner' }))).toMatch(/^28000/);
    expect(await refusal(login(running))).toMatch(/^53400: too many failed logins for this subject/);
    await login(running, { sub: 'bob' });
  });

  test('are also tokens that an open session is refused, and good ones there take nothing back', async () => {
    const running = await limited({ failedLogins: { per: 'address', limit: '3/d' } });
    const client = await login(running);
    const good = sign();
    const tries = [good, 'no token', good, sign({ sub: 'bob' }), good, sign({ role: 'owner' })];
    const codes = [];
    for (const token of tries)
      codes.push((await refusal(client.query(`set postern.token = '${token}'`))).slice(0, 5));
    expect(codes).toEqual([ok, '28P01', ok, '28000', ok, '28000']);
    expect(await refusal(login(running))).toMatch(/^53400: too many failed logins from this address/);
    await login(running, { from: '127.0.0.2' });
    expect((await refusal(client.query('select 1'))).slice(0, 5)).toBe(ok);
  });

  test('are not those that a limit, an outage or a wrong database refuses', async () => {
    const running = await limited({ failedLogins: { per: 'address', limit: '1/d' } });
    for (let i = 0; i < 3; i += 1)
      expect(await refusal(login(running, { database: 'nowhere' }))).toMatch(/^3D000/);
    await login(running);
  });
});

describe('statements', () => {
  test.each([false, true])(
    'over the limit are errors, and the session goes on (prepared: %s)',
    async (prepared) => {
      const running = await limited({ statements: { per: 'subject', limit: '5/d' } });
      const client = await login(running);
      expect(await run(client, 7, prepared)).toEqual([ok, ok, ok, ok, ok, '53400', '53400']);
      expect(await refusal(client.query('select 1'))).toMatch(
        /^53400: too many statements for this subject \(Try/,
      );
      expect(await run(await login(running, { sub: 'bob' }), 1)).toEqual([ok]);
      expect(running.lines('too many statements for this subject')).toHaveLength(1);
    },
  );

  test('are counted for all sessions of a subject together, in transaction mode too', async () => {
    const running = await limited({ statements: { per: 'subject', limit: '6/d' } }, { pool: 'transaction' });
    const clients = await Promise.all([login(running), login(running), login(running)]);
    const outcomes = await Promise.all(clients.map((client) => run(client, 4, true)));
    expect(outcomes.flat().filter((outcome) => outcome === ok)).toHaveLength(6);
  });

  test.each<[string, Login, Login]>([
    ['tenant', { org: 'acme' }, { org: 'umbrella' }],
    ['role', { role: 'reader' }, { role: 'writer' }],
    ['database', { database: 'orders' }, { database: 'archive' }],
  ])('are counted by %s', async (per, one, other) => {
    const plugins = per === 'tenant' ? [statingTenant] : [];
    const running = await limited({ statements: { per: per as 'tenant', limit: '2/d' } }, { plugins });
    expect(await run(await login(running, { ...one, sub: 'ada' }), 1)).toEqual([ok]);
    expect(await run(await login(running, { ...one, sub: 'bob' }), 2)).toEqual([ok, '53400']);
    expect(await run(await login(running, { ...other, sub: 'ada' }), 1)).toEqual([ok]);
  });

  test('a storm gets no more than burst and limit allow', async () => {
    const running = await limited({ statements: { per: 'role', limit: '50/s', burst: 20 } });
    const clients = await Promise.all(Array.from({ length: 20 }, () => login(running)));
    const from = performance.now();
    const outcomes = await Promise.all(clients.map((client) => run(client, 50)));
    const seconds = (performance.now() - from) / 1_000;
    const passed = outcomes.flat().filter((outcome) => outcome === ok).length;
    expect(passed).toBeGreaterThanOrEqual(20);
    expect(passed).toBeLessThanOrEqual(20 + 50 * seconds);
  });

  test('a refusal in a pipeline discards what stands behind it up to its Sync', async () => {
    const running = await limited({ statements: { per: 'subject', limit: '1/d' } });
    const client = await login(running);
    await client.query('begin');
    expect(await refusal(client.query({ text: 'select $1::int', values: [1] }))).toMatch(/^53400/);
    await reload(running, {});
    expect(await refusal((await login(running)).query('select 1'))).toBe('it was not refused');
  });
});

describe('a delay', () => {
  const delayed = (limit: '20/s' | '1/m', maxDelay: '1s' | '1m') =>
    ({ statements: { per: 'subject', limit, burst: 1, mode: 'delay', maxDelay } }) as const;

  test('brings statements in order to the rate', async () => {
    const running = await limited(delayed('20/s', '1m'));
    const client = await login(running);
    const from = performance.now();
    const results = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => client.query(`select ${n} as n`)));
    expect(results.map(({ rows }) => (rows as { n: number }[])[0]?.n)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(performance.now() - from).toBeGreaterThanOrEqual(249);
  });

  test('that would be too long is a refusal', async () => {
    const running = await limited(delayed('1/m', '1s'));
    const client = await login(running);
    expect(await run(client, 2)).toEqual([ok, '53400']);
  });

  test('ends with a cancel request', async () => {
    const running = await limited(delayed('1/m', '1m'));
    const client = await login(running);
    await client.query('select 1');
    const { processID, secretKey } = client as unknown as { processID: number; secretKey: number };
    const waiting = refusal(client.query('select 2'));
    const canceled = { done: false };
    void waiting.then(() => (canceled.done = true));
    while (!canceled.done) {
      const raw = await RawClient.connect(running.port);
      const request = Buffer.alloc(16);
      request.writeInt32BE(16, 0);
      request.writeInt32BE(80_877_102, 4);
      request.writeInt32BE(processID, 8);
      request.writeInt32BE(secretKey, 12);
      raw.send(request);
      await raw.rest();
      await sleep(50);
    }
    expect(await waiting).toMatch(/^57014/);
  });

  test('ends with its session, and gives its turn back', async () => {
    const running = await limited(delayed('1/m', '1m'));
    const client = await login(running);
    await client.query('select 1');
    client.query('select 2').catch(() => {});
    // Long enough to be waiting, as a rule: one that is not has nothing to give back.
    await sleep(300);
    (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    await vi.waitFor(() => expect(running.lines('close')).toHaveLength(1), { timeout: 30_000 });
    expect(running.lines('internal error')).toEqual([]);
    await reload(running, { statements: { per: 'subject', limit: '1/m', burst: 1 } });
    expect(await refusal((await login(running)).query('select 1'))).toMatch(/Try again in [1-6]?\d s/);
  });
});

describe('bytes', () => {
  test('of an answer are known at its end, and the next statement is refused', async () => {
    const running = await limited({ bytes: { per: 'subject', limit: '1kB/d', burst: '20kB' } });
    const client = await login(running);
    const large = "select repeat('x', 30000)";
    expect(await refusal(client.query(large))).toBe('it was not refused');
    expect(await refusal(client.query('select 1'))).toMatch(
      /^53400: too much data for this subject \(Try again in/,
    );
    expect(await refusal((await login(running, { sub: 'bob' })).query(large))).toBe('it was not refused');
  });

  test('are counted however many they are, also of an answer that nobody waits for', async () => {
    const running = await limited({ bytes: { per: 'subject', limit: '1kB/d', burst: '20kB' } });
    // Years of the limit in one answer.
    const huge = "select repeat('x', 1000) from generate_series(1, 5000)";
    expect(await refusal((await login(running)).query(huge))).toBe('it was not refused');
    expect(await refusal((await login(running)).query('select 1'))).toMatch(/^53400: too much data/);
    const bob = await login(running, { sub: 'bob' });
    const { stream } = (bob as unknown as { connection: { stream: Socket } }).connection;
    let read = 0;
    stream.on('data', (bytes: Buffer) => {
      read += bytes.length;
      if (read > 1_000_000) stream.destroy();
    });
    await refusal(bob.query(huge));
    await vi.waitFor(() => expect(running.lines('close').length).toBeGreaterThan(0), { timeout: 30_000 });
    const again = await login(running, { sub: 'bob' });
    expect(await refusal(again.query('select 1'))).toMatch(/^53400: too much data/);
  });

  test('may be waited for', async () => {
    const running = await limited({
      bytes: { per: 'subject', limit: '100kB/s', burst: '1kB', mode: 'delay', maxDelay: '1m' },
    });
    const client = await login(running);
    const from = performance.now();
    await client.query("select repeat('x', 51200)");
    await client.query('select 1');
    expect(performance.now() - from).toBeGreaterThanOrEqual(490);
  });
});

describe('the rates of a token', () => {
  const rated = (rate: object): Login => ({ postern: { rate } });

  test('narrow those of the config', async () => {
    const running = await limited({ statements: { per: 'subject', limit: '10/d' } });
    expect(await run(await login(running, rated({ statements: '2/d' })), 3)).toEqual([ok, ok, '53400']);
    expect(await run(await login(running), 1)).toEqual([ok]);
  });

  test('never widen them', async () => {
    const running = await limited({ statements: { per: 'subject', limit: '2/d' } });
    expect(await run(await login(running, rated({ statements: '1000/s' })), 3)).toEqual([ok, ok, '53400']);
  });

  test('are kept without any in the config', async () => {
    const running = await limited({});
    const one = rated({ statements: '1/d', connections: '2/d' });
    expect(await run(await login(running, one), 2)).toEqual([ok, '53400']);
    await login(running, one);
    expect(await refusal(login(running, one))).toMatch(/^53400: too many connections for this subject/);
    expect(await run(await login(running, { ...one, sub: 'bob' }), 1)).toEqual([ok]);
  });

  test('come into force when a token is renewed', async () => {
    const running = await limited({});
    const client = await login(running, { exp: Math.floor(Date.now() / 1_000) + 100 });
    expect(await run(client, 4)).toEqual([ok, ok, ok, ok]);
    await client.query(`set postern.token = '${sign(rated({ statements: '2/d' }))}'`);
    expect(await run(client, 3)).toEqual([ok, ok, '53400']);
  });

  test('are refused where the config keeps none', async () => {
    const running = await limited({ tokenRates: false });
    expect(await refusal(login(running, rated({ statements: '1/s' })))).toMatch(/^28000/);
    await login(running);
  });

  test.each([{ queries: '1/s' }, { statements: 'often' }, { statements: 5 }])(
    'that nobody could keep are refused, whoever states them: %j',
    async (rate) => {
      const check = rateLimit().checks?.rules?.({ rate: rate as object }, {} as Session, false);
      await expect(check).rejects.toMatchObject({ sqlstate: '28000' });
    },
  );
});

test('what was counted outlives a reload', async () => {
  const options = {
    connections: { per: 'address', limit: '3/d' },
    statements: { per: 'subject', limit: '2/d' },
  } as const;
  const running = await limited(options);
  expect(await run(await login(running), 1)).toEqual([ok]);
  await reload(running, options);
  expect(await run(await login(running), 2)).toEqual([ok, '53400']);
  await reload(running, options);
  await login(running);
  expect(await refusal(login(running))).toMatch(/^53400: too many connections from this address/);
});
