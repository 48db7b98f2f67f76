/** What the OpenAPI document says of the operators' routes. */
import type { RouteMethod, RouteOperation } from '../../core/index.ts';
import type { Operations } from './options.ts';

/** Properties by name, in JSON Schema; all of them are there unless the type is a list with null. */
type Properties = Readonly<Record<string, object>>;

const text = { type: 'string' } as const;
const flag = { type: 'boolean' } as const;
const count = { type: 'integer', minimum: 0 } as const;
const time = { type: 'string', format: 'date-time' } as const;
const texts = { type: 'array', items: text } as const;
const object = (properties: Properties, required = Object.keys(properties)): object => ({
  type: 'object',
  properties,
  required,
});
const silent = {
  type: 'array',
  items: count,
  description: 'Numbers of workers that have not answered, whose share is missing; absent: all have.',
} as const;
const listOf = (name: string, items: object): object =>
  object({ [name]: { type: 'array', items }, silent }, [name]);
const json = (description: string, schema: object): { description: string; content: object } => ({
  description,
  content: { 'application/json': { schema } },
});
const none = (description: string): { description: string } => ({ description });

const mode = { enum: ['session', 'transaction'] };

const order = object(
  {
    by: object({ issuer: text, subject: text }),
    since: time,
    until: { ...time, description: 'When it ends by itself; absent: it does not.' },
  },
  ['by', 'since'],
);

const database = object(
  {
    name: text,
    configured: { ...flag, description: 'The config in force has it.' },
    paused: flag,
    disabled: { ...flag, description: 'It takes no new sessions.' },
    fleet: {
      ...object({ paused: order, disabled: order }, []),
      description: 'Orders to the whole fleet that pause or disable it; absent: there is none.',
    },
    instances: {
      ...object(
        {
          live: count,
          missing: { ...texts, description: 'Names of those that are not known to obey.' },
        },
        ['missing'],
      ),
      description: 'Of the fleet, where the order was to all of it.',
    },
    mode,
    clientMode: { enum: ['fixed', 'choose'] },
    size: { ...count, description: 'Most server connections.' },
    mostSessions: { ...count, description: 'Most of them for clients that have chosen session mode.' },
    connections: { ...count, description: 'Server connections in any state.' },
    sessions: count,
    inSessionMode: { ...count, description: 'Sessions that keep their server connection until they end.' },
    waiting: { ...count, description: 'Sessions that wait for a server connection.' },
    silent,
  },
  ['name', 'configured', 'paused', 'disabled', 'connections', 'sessions', 'inSessionMode', 'waiting'],
);

const session = object(
  {
    id: text,
    database: text,
    role: text,
    mode,
    state: { ...text, description: 'As in pg_stat_activity, or `waiting` for a server connection.' },
    since: time,
    startedAt: time,
    address: text,
    listener: text,
    issuer: text,
    subject: text,
    serverPid: count,
    worker: { ...count, description: 'The number of its worker; absent: there is one process only.' },
  },
  ['id', 'database', 'role', 'state', 'since', 'startedAt', 'address', 'listener'],
);

const pool = object({
  database: text,
  role: text,
  sessions: count,
  waiting: { ...count, description: 'Sessions that wait for a server connection.' },
  longestWaitMs: count,
  servers: object({ opening: count, idle: count, resetting: count, lent: count, closing: count }),
});

const plugin = object(
  {
    name: text,
    provides: texts,
    needs: texts,
    enforces: { ...texts, description: 'Rules of tokens that it keeps.' },
    hooks: texts,
    credentials: { ...texts, description: 'Whom it is for, by what clients are asked for; absent: all.' },
    scope: object({ listeners: texts, databases: texts, credentials: texts }, []),
    problems: { ...texts, description: 'Why it is not ready; empty: it is.' },
  },
  ['name', 'provides', 'needs', 'enforces', 'hooks', 'problems'],
);

const peer = object(
  {
    id: { ...text, description: 'Random, of this start.' },
    number: { ...count, description: 'That of its cancel keys; absent: it has none.' },
    name: text,
    version: text,
    config: { ...text, description: 'Equal for instances whose config was loaded from equal files.' },
    since: time,
    sessions: count,
    workers: count,
    draining: { ...flag, description: 'It takes no new logins, or soon will not.' },
    lagMs: { ...count, description: 'How late its event loop was at most within the last second.' },
  },
  ['id', 'name', 'version', 'config', 'since', 'sessions', 'workers', 'draining', 'lagMs'],
);

const fleet = object(
  {
    name: text,
    id: text,
    instance: { ...text, description: 'The name of the instance that answers.' },
    stale: { ...flag, description: 'The store has not answered for `fleet.stale`.' },
    staleSince: { ...time, description: 'Since when the store has not answered; absent: it answers.' },
    limitsAwaySince: {
      ...time,
      description: 'Since when limits go by `away.limits`; absent: all instances are counted.',
    },
    away: object({ revocations: { enum: ['refuse', 'end', 'goOn'] }, limits: { enum: ['local', 'refuse'] } }),
    instances: { type: 'array', items: peer, description: 'Those that live, the one that answers first.' },
  },
  ['name', 'id', 'instance', 'stale', 'away', 'instances'],
);

const noDatabase = none('There is no such database.');
const verb = (summary: string): Docs => ({
  post: { summary, responses: { 200: json('The database as it is then.', database), 404: noDatabase } },
});
const scope = {
  name: 'scope',
  in: 'query',
  schema: { enum: ['gateway', 'fleet'], default: 'gateway' },
  description: '`fleet`: in all instances of the fleet, and in those that start later.',
} as const;
const fleetResponses = {
  501: none('The gateway is in no fleet.'),
  503: none('The store of the fleet does not answer: nothing was ordered.'),
} as const;
/** A verb that may be for the whole fleet. */
const verbOfEither = (summary: string): Docs => ({
  post: {
    summary,
    parameters: [scope],
    responses: {
      200: json('The database as it is then.', database),
      202: json('In the fleet: some instances are not known to obey yet.', database),
      404: noDatabase,
      409: none('It stays so by an order to the whole fleet.'),
      ...fleetResponses,
    },
  },
});
type Docs = Readonly<Partial<Record<RouteMethod, RouteOperation>>>;

const waitUntil = (what: string, wait: Operations['wait']): object => ({
  name: 'wait',
  in: 'query',
  schema: { ...text, default: wait },
  description: `How long to wait until ${what}.`,
});

/** Operations by path. */
export const operationDocs = ({ wait }: Operations) =>
  ({
    '/v1/databases': {
      get: {
        summary: 'Every database',
        responses: { 200: json('By entry of the config.', listOf('databases', database)) },
      },
    },
    '/v1/databases/:name': {
      get: { summary: 'One database', responses: { 200: json('As it is.', database), 404: noDatabase } },
    },
    '/v1/databases/:name/pause': {
      post: {
        summary: 'Lends no server connection until a resume',
        parameters: [
          waitUntil('no server connection is left', wait),
          scope,
          {
            name: 'for',
            in: 'query',
            schema: { ...text, default: '1h' },
            description: 'How long a pause of the fleet holds.',
          },
        ],
        responses: {
          200: json('No server connection is left.', database),
          202: json('Paused, and some are still in use.', database),
          404: noDatabase,
          409: none('It was resumed meanwhile.'),
          ...fleetResponses,
        },
      },
    },
    '/v1/databases/:name/resume': verbOfEither('Takes a pause or a kill back'),
    '/v1/databases/:name/disable': verbOfEither('Takes no new sessions until an enable'),
    '/v1/databases/:name/enable': verbOfEither('Takes a disable back'),
    '/v1/databases/:name/reconnect': verb('Has every server connection replaced once it is free'),
    '/v1/databases/:name/wait-close': {
      post: {
        summary:
          'Waits until every server connection is closed that has to be, after a reconnect or a reload',
        parameters: [waitUntil('none is left', wait)],
        responses: {
          200: json('None is left.', database),
          202: json('Some are still in use.', database),
          404: noDatabase,
        },
      },
    },
    '/v1/databases/:name/kill': verb('Pauses, and ends all sessions'),
    '/v1/sessions': {
      get: {
        summary: 'Every session that has found its database',
        responses: { 200: json('The longest open first.', listOf('sessions', session)) },
      },
    },
    '/v1/sessions/:id': {
      delete: {
        summary: 'Ends a session',
        responses: { 204: none('It is told to end.'), 404: none('There is none with this id.') },
      },
    },
    '/v1/pools': {
      get: {
        summary: 'Server connections and sessions by database and role',
        responses: { 200: json('Of those that somebody uses.', listOf('pools', pool)) },
      },
    },
    '/v1/plugins': {
      get: {
        summary: 'The plugins in force',
        responses: { 200: json('In the order of the config.', listOf('plugins', plugin)) },
      },
    },
    '/v1/fleet': {
      get: {
        summary: 'The instances of the fleet',
        responses: {
          200: json('As the one that answers knows them.', fleet),
          501: none('The gateway is in no fleet.'),
        },
      },
    },
    '/v1/reload': {
      post: {
        summary: 'Loads the config anew',
        responses: {
          200: json('It is in force.', object({ reloaded: flag })),
          422: none('It was not loaded; the one before stays.'),
          501: none('There is nothing to load it from.'),
        },
      },
    },
    '/v1/suspend': {
      post: {
        summary: 'Reads nothing from clients and servers until a resume',
        parameters: [waitUntil('everything is written that was to be', wait)],
        responses: {
          200: json('Everything is written, and nothing is read.', object({ suspended: flag })),
          409: none('It is suspended already, or not everything could be written in time: it goes on.'),
        },
      },
    },
    '/v1/resume': {
      post: {
        summary: 'Takes a suspend back, and a PAUSE of all databases in the console',
        responses: {
          200: json('It goes on.', object({ resumed: object({ paused: flag, suspended: flag }) })),
        },
      },
    },
    '/v1/shutdown': {
      post: {
        summary: 'Takes no new logins, lets transactions finish and stops',
        parameters: [
          {
            name: 'after',
            in: 'query',
            schema: { enum: ['clients', 'servers'] },
            description:
              '`clients`: all of them have left. `servers`: each connection is given back, however long that takes. Default: `drainTimeout` bounds it.',
          },
        ],
        responses: { 202: json('It begins.', object({ shuttingDown: flag })) },
      },
    },
  }) as const satisfies Readonly<Record<string, Docs>>;

/** Paths of the operators' routes. */
export type OperationPath = keyof ReturnType<typeof operationDocs>;
