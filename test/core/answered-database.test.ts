/** Databases that a plugin answers itself: their boot, the login to them, and the connection that the plugin gets. */
import { afterEach, describe, expect, test } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { only } from '../../core/contract/config.ts';
import type { AnsweredDatabase } from '../../core/contract/answered-database.ts';
import { GatewayError } from '../../core/contract/errors.ts';
import type { Identity } from '../../core/contract/facts.ts';
import type { AnyPlugin } from '../../core/contract/plugin.ts';
import { Frontend, commandComplete, readQuery, readyForQuery } from '../../core/wire/index.ts';
import { GOOD_TOKEN, logIn, startGateway } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { RawClient, cancelRequest, fieldsOf, message, startup } from '../support/raw-client.ts';

const ADA: Identity = {
  issuer: 'https://id.example',
  subject: 'ada',
  expiresAt: new Date(Date.now() + 3_600_000),
  claims: {},
};

let running: RunningGateway | undefined;
afterEach(async () => {
  await running?.gateway.stop();
  running = undefined;
});

/** Answers each Query with its text as command tag; `told` gets what happens besides. */
function echo(told: unknown[] = []): AnsweredDatabase {
  return {
    async admit(session) {
      if ((await session.token()) === GOOD_TOKEN) return ADA;
      throw new GatewayError('invalid_password', 'not for clients', { cause: new Error('a bad token') });
    },
    async serve(session, connection) {
      connection.open(new Map([['application_name', 'echo']]), () => told.push('cancel'));
      told.push(session.facts.identity.subject);
      for (let said = await connection.read(); said; said = await connection.read()) {
        if (said.type !== Frontend.query) throw new GatewayError('feature_not_supported', 'only queries');
        connection.changed('active');
        const answer = commandComplete(readQuery(said.body));
        connection.changed('idle');
        await connection.write(Buffer.concat([answer, readyForQuery('I')]));
      }
      told.push('terminated');
    },
  };
}

const plugin = (database: AnsweredDatabase, more: Partial<AnyPlugin> = {}): AnyPlugin => ({
  name: 'answers',
  databases: { echo: database },
  ...more,
});

async function start(plugins: readonly AnyPlugin[], more: Partial<TestConfig> = {}): Promise<RunningGateway> {
  running = await startGateway({ databases: {}, plugins, ...more });
  return running;
}

const connect = ({ port }: RunningGateway): Promise<RawClient> => RawClient.connect(port);
const open = async (at: RunningGateway): Promise<Awaited<ReturnType<typeof logIn>>> =>
  logIn(await connect(at), { database: 'echo' });

async function ask(client: RawClient, text: string): Promise<string> {
  client.send(message('Q', `${text}\0`));
  const [answer] = await client.until('Z');
  return answer?.body.toString() ?? '';
}

describe('a session', () => {
  test('is logged in, answered, cancelled and ended by its client; hooks and the log see it', async () => {
    const told: unknown[] = [];
    const witness: AnyPlugin = {
      name: 'witness',
      onStartup: ({ startup: { database } }) => void told.push(`startup ${database}`),
      checks: { identity: ({ subject }) => void told.push(`check ${subject}`) },
      onAuth: () => void told.push('auth'),
      onClose: (_, { kind }) => void told.push(`close ${kind}`),
      on: { close: ({ used }) => void told.push(used?.queries) },
    };
    const at = await start([plugin(echo(told)), witness]);
    const { client, processId, secret, parameters } = await open(at);
    expect(parameters).toEqual({ application_name: 'echo' });
    expect(await ask(client, 'one')).toBe('one\0');
    expect(await ask(client, 'two')).toBe('two\0');
    (await connect(at)).send(cancelRequest(processId, secret));
    await expect.poll(() => told).toContain('cancel');
    client.send(message('X'));
    await client.rest();
    const expected = ['startup echo', 'check ada', 'ada', 'cancel', 'terminated', 'close client', 2];
    await expect.poll(() => told).toEqual(expected);
    expect(at.lines('login')).toMatchObject([{ database: 'echo', subject: 'ada' }]);
    expect(at.lines('close')).toMatchObject([{ database: 'echo', reason: 'client' }]);
  });

  test('whose cancel fails stays, the log says so, and the canceling client reads nothing', async () => {
    const at = await start([
      plugin({
        ...echo(),
        async serve(_, connection) {
          connection.open(new Map(), () => {
            throw new Error('no way');
          });
          while (await connection.read()) await connection.write(readyForQuery('I'));
        },
      }),
    ]);
    const { client, processId, secret } = await open(at);
    const canceling = await connect(at);
    canceling.send(cancelRequest(processId, secret));
    expect(await canceling.rest()).toHaveLength(0);
    expect(at.lines('a cancel failed')).toHaveLength(1);
    client.send(message('Q', 'still there\0'));
    await client.until('Z');
    client.destroy();
  });

  test('of a plugin that goes on behind its end is named when the gateway stops', async () => {
    const hanging = { ...echo(), serve: () => new Promise<void>(() => {}) };
    const at = await start([
      plugin({
        ...hanging,
        serve(_, connection) {
          connection.open(new Map(), () => {});
          return hanging.serve();
        },
      }),
    ]);
    const { client } = await open(at);
    client.destroy();
    await at.gateway.stop(200);
    expect(at.lines('cut off at the end')).toMatchObject([{ calls: ['answers databases.echo.serve'] }]);
  });

  test('is refused as any other: by its plugin, by a check, and for replication', async () => {
    const guard: AnyPlugin = {
      name: 'guard',
      checks: {
        identity(_, { startup: { user } }) {
          if (user === 'mallory') throw new GatewayError('invalid_authorization_specification', 'not you');
        },
      },
    };
    const at = await start([guard, plugin(echo())]);
    const refused = async (parameters: Record<string, string>, token = GOOD_TOKEN): Promise<unknown> => {
      const client = await connect(at);
      client.send(startup({ user: 'alice', database: 'echo', ...parameters }));
      await client.until('R');
      client.send(message('p', `${token}\0`));
      return client.error();
    };
    expect(await refused({}, 'bad')).toMatchObject({ C: '28P01' });
    expect(await refused({ user: 'mallory' })).toMatchObject({ C: '28000', M: 'not you' });
    expect(await refused({ replication: 'database' })).toMatchObject({ C: '0A000' });
    expect(at.lines('login refused')).toHaveLength(3);
  });

  test('ends with its identity, with a drain, and with what breaks the protocol', async () => {
    const soon = { ...ADA, expiresAt: new Date(Date.now() + 1_500) };
    const short: AnsweredDatabase = { ...echo(), admit: () => soon };
    const at = await start([plugin(echo()), { name: 'short', databases: { short } }]);
    const expiring = await connect(at);
    expiring.send(startup({ user: 'alice', database: 'short' }));
    await expiring.until('Z');
    expect(await expiring.error()).toMatchObject({ S: 'FATAL', C: '57P01', M: 'the token has expired' });
    const wrong = (await open(at)).client.send(message('?', 'x'));
    expect(await wrong.error()).toMatchObject({ S: 'FATAL', C: '08P01' });
    const long = (await open(at)).client.send(message('Q', 'x'.repeat(70_000)));
    expect(await long.error()).toMatchObject({ S: 'FATAL', C: '08P01', M: 'the message is too long' });
    const parse = (await open(at)).client.send(message('P', '\0\0\0\0'));
    expect(await parse.error()).toMatchObject({ S: 'FATAL', C: '0A000', M: 'only queries' });
    const { client } = await open(at);
    const gone = client.error();
    await at.gateway.drain();
    expect(await gone).toMatchObject({ S: 'FATAL', C: '57P01' });
    await client.rest();
  });

  test.each<[string, Partial<AnsweredDatabase>, string]>([
    ['throws', { serve: () => Promise.reject(new Error('a bug')) }, 'a bug'],
    ['opens nothing', { serve: () => Promise.resolve() }, 'serve has ended without a call of open'],
    [
      'opens twice',
      {
        async serve(_, connection) {
          connection.open(new Map(), () => {});
          await Promise.resolve(connection.open(new Map(), () => {}));
        },
      },
      'the connection is open already',
    ],
  ])('reads XX000 where its plugin %s, and the log has why', async (_, broken, why) => {
    const at = await start([plugin({ ...echo(), ...broken })]);
    const client = await connect(at);
    client.send(startup({ user: 'alice', database: 'echo' }));
    await client.until('R');
    client.send(message('p', `${GOOD_TOKEN}\0`));
    const rest = (await client.rest()).toString();
    expect(rest).toContain('SFATAL\0VFATAL\0CXX000\0Minternal error, id ');
    expect(at.lines('internal error')).toMatchObject([{ error: expect.stringContaining(why) }]);
  });

  test('whose client leaves while it is answered lets the plugin go on to nothing', async () => {
    const told: unknown[] = [];
    const slow: AnsweredDatabase = {
      ...echo(),
      async serve(session, connection) {
        connection.open(new Map(), () => {});
        await connection.read();
        await new Promise((resolve) => session.signal.addEventListener('abort', resolve));
        await connection.write(Buffer.from('x')).catch((error: unknown) => told.push(error));
        await connection.read().catch((error: unknown) => told.push(error));
      },
    };
    const at = await start([plugin(slow)]);
    const { client } = await open(at);
    client.send(message('Q', 'x\0'));
    client.destroy();
    await expect.poll(() => at.lines('close')).toMatchObject([{ reason: 'lost' }]);
    expect(told).toEqual([expect.any(Error), expect.any(Error)]);
  });

  test('is only where its plugin is: elsewhere the name is one of the config, or none', async () => {
    const listen = [
      { name: 'inside', port: 0 },
      { name: 'outside', port: 0 },
    ];
    const passing: AnyPlugin = { name: 'passing', onAuth: async (session) => void (await session.token()) };
    const plugins = [...only({ listeners: ['outside'] }, plugin(echo())), passing];
    const at = await start(plugins, { listen });
    const client = await connect(at);
    client.send(startup({ user: 'alice', database: 'echo' }));
    await client.until('R');
    client.send(message('p', `${GOOD_TOKEN}\0`));
    expect(fieldsOf((await client.until('E'))[0]?.body ?? Buffer.alloc(0))).toMatchObject({ C: '3D000' });
  });
});

describe('a config', () => {
  const check = (plugins: readonly unknown[], more: object = {}): unknown =>
    checkConfig({ databases: {}, plugins, ...more }, '/');
  const operators = { ...echo(), operators: true };
  const entry = { host: 'db', login: { kind: 'trust' } };

  test.each<[string, () => unknown, string]>([
    [
      'has an entry of its name',
      () => check([plugin(echo())], { databases: { echo: entry } }),
      "plugins: 'answers' answers the database 'echo', which is an entry of databases: give one of them another name",
    ],
    [
      'has another plugin that answers it',
      () => check([plugin(echo()), plugin(echo(), { name: 'other' })]),
      "plugins: 'other' and 'answers' both answer the database 'echo': give one another name",
    ],
    [
      'leaves it out of the scope of its plugin',
      () => check(only({ databases: ['orders'] }, plugin(echo())), { databases: { orders: entry } }),
      "plugins: 'answers' answers the database 'echo', which its only() leaves out: nobody could open it",
    ],
    [
      'has no operators for it',
      () => check([plugin(operators)], { admin: {} }),
      "plugins: 'answers' answers the database 'echo', for operators, and without admin.operators nobody is one",
    ],
    [
      'has one that is none',
      () => check([plugin({} as AnsweredDatabase)]),
      "plugins[0] ('answers') databases['echo']: expected functions admit and serve, got an object without them",
    ],
    [
      'has one without a name of its own',
      () => check([{ name: 'answers', databases: { '*': echo() } }]),
      "plugins[0] ('answers') databases: '*' is no name that a client uses",
    ],
    [
      'still has admin.console',
      () => check([], { admin: { console: 'ops' } }),
      "admin.console: leave it out, and list the plugin of that name in plugins, with { database: 'ops' }",
    ],
    [
      'still has admin.console: false',
      () => check([], { admin: { console: false } }),
      'admin.console: leave it out: there is a console only where plugins has the plugin of that name',
    ],
  ])('that %s does not start', (_, load, sentence) => {
    expect(load).toThrow(sentence);
  });

  test('may name it in only(), also where it is the only one that does', () => {
    expect(() => check(only({ databases: ['echo'] }, plugin(echo())))).not.toThrow();
    const two = [
      ...only({ listeners: ['a'] }, plugin(echo())),
      ...only({ listeners: ['b'] }, plugin(echo(), { name: 'other' })),
    ];
    const listen = [{ name: 'a' }, { name: 'b', port: 1 }];
    expect(() => check(two, { listen })).not.toThrow();
  });
});
