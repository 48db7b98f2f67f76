import { beforeEach, expect, test } from 'vitest';
import { parseDatabase, parseRole } from '../../../core/contract/names.ts';
import type { Upstream } from '../../../core/contract/session.ts';
import type { ServerConnection } from '../../../core/upstream/connection.ts';
import { ParameterMap, areEqual } from '../../../core/upstream/parameter-map.ts';
import { PooledServer } from '../../../core/upstream/pool/pooled-servers.ts';
import { keyOf } from '../../../core/upstream/pool-key.ts';
import { ReportedParameters } from '../../../core/upstream/reported-parameters.ts';
import type { ReportedParametersParts } from '../../../core/upstream/reported-parameters.ts';
import { SessionSettings } from '../../../core/upstream/session-settings.ts';

const upstream: Upstream = {
  entry: 'main',
  database: parseDatabase('main'),
  role: parseRole('reader'),
  settings: {},
  schemas: [],
  onCheckout: [],
};
const PLACES = [
  { host: 'one', port: 5432 },
  { host: 'two', port: 5432 },
] as const;
const SERVER = { server_version: '17.2', in_hot_standby: 'off', TimeZone: 'UTC', application_name: '' };

let now: number;
let refused: Error | undefined;
let unfit: unknown;
let reported: ReportedParameters;

beforeEach(() => {
  [now, refused, unfit] = [0, undefined, undefined];
  reported = new ReportedParameters({
    database: { host: 'one', login: { kind: 'trust' }, pool: { mode: 'transaction' } },
    clock: { now: () => now },
    hosts: {
      target: 'any',
      absence: () => undefined,
      fits: ({
        endpoint,
        connection,
      }: {
        endpoint: unknown;
        connection: Pick<ServerConnection, 'parameters'>;
      }) => endpoint !== unfit && connection.parameters.get('in_hot_standby') === 'off',
    } as unknown as ReportedParametersParts['hosts'],
    connector: { refusal: () => refused },
    closing: new AbortController().signal,
  });
});

const wanted = (name = 'app', more: Partial<Upstream> = {}) => ({
  upstream: { ...upstream, ...more },
  startup: { user: 'u', database: 'main', parameters: { application_name: name } },
});
const told = (name?: string, more?: Partial<Upstream>) => reported.of(wanted(name, more));

function member(server: Partial<typeof SERVER> = {}, endpoint = 0, expiresAt = 100): PooledServer {
  const made = new PooledServer(keyOf(upstream, false), expiresAt, []);
  made.reported = new Map(Object.entries({ ...SERVER, ...server }));
  made.endpoint = PLACES[endpoint];
  made.connection = { parameters: new Map(made.reported) } as unknown as ServerConnection;
  return made;
}

/** A session with this name has got the connection, and is what it asked to be. */
function learn(one: PooledServer, name = 'app', more: readonly [name: string, value: string][] = []): void {
  const chosen = { name: 'application_name', value: name, from: 'client' } as const;
  one.applied = SessionSettings.of([
    chosen,
    ...more.map(([key, value]) => ({ name: key, value, from: 'policy' }) as const),
  ]);
  one.connection?.parameters.set('application_name', name);
  reported.learn(one, wanted(name));
}

test('a login is told what one of its kind was told, as long as the connection of that one is used', () => {
  expect(told()).toBeUndefined();
  learn(member());
  expect(Object.fromEntries(told() ?? [])).toEqual({ ...SERVER, application_name: 'app' });
  expect([told('other'), told('app', { settings: { search_path: 'a' } })]).toEqual([undefined, undefined]);
  now = 99;
  expect(told()).toBeDefined();
  now = 100;
  expect(told()).toBeUndefined();
});

test('what two logins are told is known as equal without a look at each value', () => {
  learn(member());
  const [one, two] = [told() ?? new Map(), told() ?? new Map()];
  expect(areEqual(new ParameterMap(one), new ParameterMap(two))).toBe(true);
});

test('a younger connection that says the same lets it be known longer, an older one takes nothing away', () => {
  learn(member({}, 0, 100));
  learn(member({}, 0, 200));
  learn(member({}, 0, 50));
  now = 150;
  expect(told()).toBeDefined();
});

test('a server that reports something else at a new login is believed, and what others were told before is not', () => {
  for (const name of ['app', 'other']) learn(member(), name);
  const replaced = member({ server_version: '18.1' });
  reported.opened(replaced);
  expect([told('app'), told('other')]).toEqual([undefined, undefined]);
  learn(replaced);
  expect(told()?.get('server_version')).toBe('18.1');
  reported.opened(member({ server_version: '17.2' }, 1));
  expect(told()).toBeDefined();
});

test('a server that is not what the session wants any more tells nothing', () => {
  learn(member());
  unfit = PLACES[0];
  expect(told()).toBeUndefined();
  learn(member({ in_hot_standby: 'on' }, 1));
  expect(told()).toBeUndefined();
});

test('while the role is refused, a login is refused as well', () => {
  learn(member());
  refused = new Error('a moment ago');
  expect(told()).toBeUndefined();
  refused = undefined;
  expect(told()).toBeDefined();
});

test('a connection that reports what neither its login nor its session has set teaches nothing, and is a reason to ask', () => {
  learn(member());
  const changed = member();
  changed.connection?.parameters.set('TimeZone', 'Asia/Tokyo');
  learn(changed, 'other');
  expect([told('app'), told('other')]).toEqual([undefined, undefined]);
});

test('policies that set what is reported, in any case, are asked each time; sessions without policies are not', () => {
  const onCheckout = [() => ({ timezone: 'Asia/Tokyo' })];
  learn(member());
  learn(member(), 'app', [['app.tenant', 'a']]);
  expect(told('app', { onCheckout })).toBeDefined();
  const one = member();
  one.connection?.parameters.set('TimeZone', 'Asia/Tokyo');
  learn(one, 'app', [['timezone', 'Asia/Tokyo']]);
  expect([told('app', { onCheckout }), told()?.get('TimeZone')]).toEqual([undefined, 'UTC']);
});

test('a client that chooses many names makes the gateway forget some of them, and not remember more and more', () => {
  const one = member();
  for (let i = 0; i < 1_500; i += 1) learn(one, `app ${i}`);
  const kept = Array.from({ length: 1_500 }, (_, i) => told(`app ${i}`)).filter((known) => known);
  expect(kept).toHaveLength(1_000);
  expect(told('app 1499')).toBeDefined();
});

test('a client that chooses many names costs other roles nothing, and long parameters are not remembered', () => {
  const other = { role: parseRole('writer') };
  const theirs = member();
  Object.assign(theirs, { key: keyOf({ ...upstream, ...other }, false) });
  reported.learn(theirs, wanted('app', other));
  const one = member();
  for (let i = 0; i < 1_500; i += 1) learn(one, `app ${i}`);
  expect([told('app', other), told('app 1499'), told('app 1')].map((known) => known !== undefined)).toEqual([
    true,
    true,
    false,
  ]);
  learn(one, 'x'.repeat(4_000));
  expect(told('x'.repeat(4_000))).toBeUndefined();
});

test('a connection that serves one session only teaches nothing', () => {
  const alone = new PooledServer({ ...keyOf(upstream, false), pooled: false }, 100, []);
  alone.connection = { parameters: new Map() } as unknown as ServerConnection;
  learn(alone);
  expect(told()).toBeUndefined();
});
