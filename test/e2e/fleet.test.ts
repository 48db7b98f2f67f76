/** Two gateways of one fleet behind one Redis: whatever is shared is made at one of them and tried at the other. */
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { Balancer } from '../support/balancer.ts';
import {
  FLEET_SECRET,
  type FleetGateway,
  instancesOf,
  removeAll,
  startFleet,
  startInstance,
} from '../support/fleet-gateways.ts';
import { prepareCheckout } from '../support/gateway-process.ts';
import { sharedPostgres } from '../support/postgres.ts';
import { describeWith, program } from '../support/programs.ts';
import { RawClient, cancelRequest, startup, message } from '../support/raw-client.ts';
import { RedisServer } from '../support/redis.ts';

const postgres = sharedPostgres();
const patient = { timeout: 30_000 };

/** The SQLSTATE of a refusal, or undefined for what works. */
async function codeOf(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
}

/** Resolves when the connection is over, however that came. */
const endOf = (client: Client): Promise<void> =>
  new Promise((resolve) => void client.once('end', () => resolve()));

/** Logs in by raw messages, so that its cancel key is known, and from an address of this machine. */
async function rawLogin(
  { issuer }: FleetGateway,
  port: number,
  { sub = 'cancelled', localAddress = '127.0.0.1' } = {},
): Promise<{ client: RawClient; processId: number; secret: Buffer }> {
  const client = RawClient.over(net.connect({ port, host: '127.0.0.1', localAddress }));
  client.send(startup({ user: '_', database: 'orders' }));
  await client.until('R');
  client.send(message('p', `${issuer.sign({ role: 'reader', sub })}\0`));
  const answers = await client.until('Z');
  const body = answers.find(({ type }) => type === 'K')?.body ?? Buffer.alloc(0);
  return { client, processId: body.readUInt32BE(0), secret: body.subarray(4) };
}

/** Where it is there, all clients come through it, as they do in front of most fleets. */
const haproxy = program('haproxy');
const front = haproxy === undefined ? 'without HAProxy, which is not installed here' : 'behind HAProxy';

describeWith('redis-server', (redisServer) =>
  describe.each([1, 2])(`instances ${front}, with workers: %i`, (workers) => {
    let redis: RedisServer;
    let one: FleetGateway;
    let other: FleetGateway;
    const gateways: FleetGateway[] = [];
    const options = {
      pool: "mode: 'transaction'",
      workers,
      haproxy,
      limits: 'maxConnections: { subject: 2 }',
      rateLimit: "connections: { per: 'subject', limit: '60/m', burst: 20 }",
    };

    beforeAll(async () => {
      prepareCheckout();
      redis = await RedisServer.start(redisServer);
      gateways.push(...(await startFleet(postgres, redis, options)));
      [one, other] = gateways as [FleetGateway, FleetGateway];
    });
    afterAll(async () => {
      await removeAll(gateways);
      await redis.stop();
    });

    /** A third session of a subject, at either instance: it is over where it is let in. */
    const refused = async (sub: string): Promise<void> => {
      for (const each of [one, other]) await each.login({ sub }).then((client) => client.end());
    };

    /** What each of both ways shows: made here, tried there. */
    const both = (): readonly (readonly [FleetGateway, FleetGateway])[] => [
      [one, other],
      [other, one],
    ];

    test('each instance knows the other: names, versions, the digest of the config', async () => {
      for (const [here] of both()) {
        const instances = await instancesOf(here);
        expect(
          instances.map(({ name }) => name).toSorted((a, b) => String(a).localeCompare(String(b))),
        ).toEqual(['g1', 'g2']);
        expect(new Set(instances.map(({ version }) => version)).size).toBe(1);
      }
    });

    test('SHOW PEERS lists the fleet', async () => {
      const console = await one.console();
      const { rows } = await console.query<Record<string, unknown>>('show peers');
      expect(JSON.stringify(rows)).toContain('g2');
      await console.end();
    });

    test('limits.maxConnections counts the sessions of both, and is free again when they end', async () => {
      for (const [here, there] of both()) {
        const sub = `counted ${here.port}`;
        const open = [await here.login({ sub }), await there.login({ sub })];
        expect(await codeOf(here.login({ sub }))).toBe('53300');
        expect(await codeOf(there.login({ sub }))).toBe('53300');
        await open[0]?.end();
        await expect
          .poll(async () => {
            const client = await there.login({ sub }).catch(() => undefined);
            await client?.end();
            return client !== undefined;
          }, patient)
          .toBe(true);
        await open[1]?.end();
      }
    });

    test.skipIf(haproxy === undefined)(
      'through one address for both, clients come to either with their own addresses, and are counted together',
      async () => {
        const places = gateways.map(({ gateway: { port }, adminPort }) => ({ port, adminPort }));
        const balancer = await Balancer.start(String(haproxy), places);
        onTestFinished(() => balancer.remove());
        const addresses = ['127.0.0.7', '127.0.0.8'];
        const open = [];
        for (const localAddress of addresses)
          open.push(await rawLogin(one, balancer.port, { sub: 'balanced', localAddress }));
        await expect(rawLogin(one, balancer.port, { sub: 'balanced' })).rejects.toThrow('53300');
        const seen = [];
        for (const each of [one, other]) {
          const { body } = await each.ask('GET', '/v1/sessions');
          const own = (body['sessions'] as Record<string, string>[]).filter(
            ({ subject }) => subject === 'balanced',
          );
          expect(own).toHaveLength(1);
          seen.push(own[0]?.['address']);
        }
        expect(new Set(seen)).toEqual(new Set(addresses));
        for (const { client } of open) client.destroy();
      },
    );

    test('a rate limit counts the logins of both, in the store of the fleet', async () => {
      const sub = 'rated';
      const codes = [];
      for (let i = 0; i < 24; i += 1) {
        const client = await (i % 2 === 0 ? one : other)
          .login({ sub })
          .catch((error: { code: string }) => error);
        codes.push('code' in client ? client.code : undefined);
        if (client instanceof Client) await client.end();
      }
      expect(codes.filter((code) => code === undefined).length).toBeLessThanOrEqual(21);
      expect(codes).toContain('53400');
    });

    test('a revocation ends the sessions of the other, keeps the subject out there, and proves it', async () => {
      for (const [here, there] of both()) {
        const sub = `revoked ${here.gateway.port}`;
        const [mine, theirs] = [await here.login({ sub }), await there.login({ sub })];
        const ended = Promise.all([mine, theirs].map((client) => endOf(client)));
        const { status, body } = await here.ask('POST', '/v1/revocations?wait=fleet', {
          issuer: here.issuer.issuer,
          subject: sub,
        });
        expect(status).toBe(201);
        expect(body['fleet']).toEqual({ live: 2, missing: [] });
        expect(body['sessions']).toBe(2);
        await ended;
        expect(await codeOf(there.login({ sub }))).toBe('28P01');
        const { body: list } = await there.ask('GET', '/v1/revocations');
        expect(JSON.stringify(list)).toContain(sub);
      }
    });

    test('a revocation that is taken back at the other is none any more', async () => {
      const { body } = await one.ask('POST', '/v1/revocations?wait=fleet', {
        issuer: one.issuer.issuer,
        subject: 'pardoned',
      });
      const id = encodeURIComponent(String(body['id']));
      expect((await other.ask('DELETE', `/v1/revocations?id=${id}`)).status).toBe(204);
      await expect
        .poll(() => codeOf(one.login({ sub: 'pardoned' }).then((client) => client.end())))
        .toBe(undefined);
    });

    test('a cancel request that comes to the other stops the statement', async () => {
      for (const [here, there] of both()) {
        const { client, processId, secret } = await rawLogin(here, here.port);
        client.send(message('Q', 'select pg_sleep(600)\0'));
        await sleep(200);
        const request = await RawClient.connect(there.port);
        request.send(cancelRequest(processId, secret));
        expect((await request.rest()).length).toBe(0);
        const answers = await client.until('E');
        expect(String(answers.at(-1)?.body)).toContain('57014');
        client.destroy();
      }
    });

    test('signing keys are the same, and a token that one grants opens a session at the other', async () => {
      const keys = await Promise.all(
        gateways.slice(0, 2).map((each) => each.ask('GET', '/.well-known/jwks.json')),
      );
      expect(keys[0]?.body).toEqual(keys[1]?.body);
      for (const [here, there] of both()) {
        const developer = here.issuer.sign({ sub: 'dora', groups: ['dev'] });
        const wanted = { database: 'orders', role: 'reader', reason: 'ticket 1' };
        const under = { 'idempotency-key': `key ${here.gateway.port}` };
        const granted = await here.ask('POST', '/v1/grants', wanted, developer, under);
        expect(granted.status).toBe(201);
        const again = await there.ask('POST', '/v1/grants', wanted, developer, under);
        expect(again.body).toEqual(granted.body);
        const client = await there.login({}, { password: String(granted.body['token']) });
        const ended = endOf(client);
        const path = `/v1/grants/${String(granted.body['id'])}`;
        expect((await there.ask('GET', path, undefined, developer)).body).toMatchObject({ role: 'reader' });
        expect((await here.ask('DELETE', path, undefined, developer)).status).toBeLessThan(300);
        await ended;
        expect(await codeOf(there.login({}, { password: String(granted.body['token']) }))).toBe('28P01');
      }
    });

    test('the store knows nobody, and no log has a secret', async () => {
      const client = new Redis(redis.url);
      await client.config('SET', 'rdbcompression', 'no');
      const keys = await client.keys('*');
      expect(keys.length).toBeGreaterThan(5);
      const dumps = await Promise.all(keys.map((key) => client.dumpBuffer(key)));
      const all = Buffer.concat([...dumps.map((dump) => dump ?? Buffer.alloc(0)), Buffer.from(keys.join())]);
      for (const name of [
        'revoked',
        'counted',
        'rated',
        'pardoned',
        'dora',
        'ticket 1',
        '"d":',
        FLEET_SECRET,
      ])
        expect(all.includes(name), name).toBe(false);
      await client.quit();
      for (const { gateway } of gateways)
        expect(gateway.log + gateway.complaints).not.toContain(FLEET_SECRET);
    });

    test('PAUSE over the fleet holds statements at the other, until RESUME', async () => {
      const console = await one.console();
      await console.query('pause orders fleet');
      const late = other.login({ sub: 'paused' }).then(async (client) => {
        await client.query('select 1');
        await client.end();
        return 'served';
      });
      expect(await Promise.race([late, sleep(1_000).then(() => 'waits')])).toBe('waits');
      await console.query('resume orders fleet');
      expect(await late).toBe('served');
      await console.end();
    });

    test('an instance that is killed gives back what it held, and its successor joins', async () => {
      const third = await startInstance(postgres, redis, one.issuer, 'g3', options);
      gateways.push(third);
      await expect.poll(async () => (await instancesOf(one)).length, patient).toBe(3);
      const sub = 'left behind';
      await third.login({ sub });
      await third.login({ sub });
      expect(await codeOf(one.login({ sub }))).toBe('53300');
      const killed = Date.now();
      await third.remove();
      gateways.pop();
      await expect
        .poll(async () => {
          const client = await one.login({ sub }).catch(() => undefined);
          await client?.end();
          return client !== undefined;
        }, patient)
        .toBe(true);
      console.log(`free ${Date.now() - killed} ms after the kill`);
      await expect.poll(async () => (await instancesOf(one)).length, patient).toBe(2);
    });

    test('a store that hangs holds no login up for longer than its timeout, and its answers count again afterwards', async () => {
      redis.hang();
      const clients = [await one.login({ sub: 'hung' }), await other.login({ sub: 'hung' })];
      await expect
        .poll(async () => (await one.ask('GET', '/v1/fleet')).body['staleSince'], patient)
        .toBeDefined();
      redis.goOn();
      await expect.poll(() => codeOf(refused('hung')), patient).toBe('53300');
      await Promise.all(clients.map((client) => client.end()));
    });

    test('a store that was flushed has revocations and counts again', async () => {
      const clients = [await one.login({ sub: 'flushed' }), await other.login({ sub: 'flushed' })];
      await one.ask('POST', '/v1/revocations', { issuer: one.issuer.issuer, subject: 'revoked before' });
      await redis.ask('flushall');
      await expect.poll(() => codeOf(refused('flushed')), patient).toBe('53300');
      const late = await startInstance(postgres, redis, one.issuer, 'late', options);
      gateways.push(late);
      await expect
        .poll(() => codeOf(late.login({ sub: 'revoked before' }).then((client) => client.end())), patient)
        .toBe('28P01');
      expect(await codeOf(late.login({ sub: 'flushed' }))).toBe('53300');
      await late.remove();
      gateways.pop();
      await Promise.all(clients.map((client) => client.end()));
    });

    describe('while Redis is away', () => {
      beforeAll(() => redis.kill());
      afterAll(async () => {
        await redis.start();
        await vi.waitUntil(
          async () => (await one.ask('GET', '/v1/fleet')).body['staleSince'] === undefined,
          patient,
        );
      });

      test('logins go on by the numbers of each instance, and no login waits longer than the timeout', async () => {
        const clients = [await one.login({ sub: 'alone' }), await one.login({ sub: 'alone' })];
        expect(await codeOf(one.login({ sub: 'alone' }))).toBe('53300');
        clients.push(await other.login({ sub: 'alone' }));
        await Promise.all(clients.map((client) => client.end()));
      });

      test('it says so', async () => {
        await expect
          .poll(async () => (await one.ask('GET', '/v1/fleet')).body['staleSince'], patient)
          .toBeDefined();
      });

      test('a revocation is in force here at once, and at the other when the store is back', async () => {
        const sub = 'revoked meanwhile';
        const { body } = await one.ask('POST', '/v1/revocations?wait=fleet', {
          issuer: one.issuer.issuer,
          subject: sub,
        });
        expect(body['fleet']).toMatchObject({ missing: expect.arrayContaining(['g2']) });
        expect(await codeOf(one.login({ sub }))).toBe('28P01');
        await redis.start();
        await expect
          .poll(() => codeOf(other.login({ sub }).then((client) => client.end())), patient)
          .toBe('28P01');
        await redis.kill();
      });

      test('once stale, new logins are refused, and sessions stay', async () => {
        const before = await one.login({ sub: 'stays' }).catch(() => undefined);
        await expect
          .poll(() => codeOf(one.login({ sub: 'new' }).then((client) => client.end())), patient)
          .toBe('57P03');
        if (before) {
          await before.query('select 1');
          await before.end();
        }
      });
    });

    test('behind the outage both are as before', async () => {
      for (const each of [one, other])
        await expect
          .poll(() => codeOf(each.login({ sub: 'first' }).then((client) => client.end())), patient)
          .toBe(undefined);
      for (const [here, there] of both()) {
        const sub = `after ${here.gateway.port}`;
        const open = [await here.login({ sub }), await there.login({ sub })];
        expect(await codeOf(here.login({ sub }))).toBe('53300');
        await Promise.all(open.map((client) => client.end()));
      }
    });
  }),
);
