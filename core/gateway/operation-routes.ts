/** The operators' verbs over HTTP: what there is as JSON, and what they order by POST. */
import type { Usage } from '../connection/usage.ts';
import { milliseconds } from '../durations.ts';
import { ConfigError, GatewayError } from '../errors.ts';
import type { Condition } from '../errors.ts';
import type { Identity } from '../facts.ts';
import type { AnyPlugin } from '../plugin.ts';
import type { RouteOptions } from '../route.ts';
import type { Check, RouteHandler } from './admin-routes.ts';
import { OPERATION_DOCS } from './operation-docs.ts';
import type { OperationPath } from './operation-docs.ts';
import type { Operations, Operator } from './operations.ts';
import type { EntryView, Overview } from './overview.ts';
import { limitsOf } from '../upstream/pool/limits.ts';
import { pluginView } from './plugin-view.ts';
import { poolViews } from './pool-view.ts';

/** What the routes work on. */
export interface OperationRoutesParts {
  readonly operations: Operations;
  readonly overview: Overview;
  /** In the order of the config. */
  readonly plugins: readonly AnyPlugin[];
  /** What plugins say about being ready. */
  readonly checks: () => readonly Check[];
}

/** One request that has found its route. */
interface Asked extends OperationRoutesParts {
  readonly operator: Operator;
  /** What stands in the path in the places of `:name` and `:id`. */
  readonly name: string;
  readonly url: URL;
  readonly signal: AbortSignal;
}

type Route = (asked: Asked) => Promise<Response> | Response;

/** It goes on: what is waited for has not happened yet. */
const ACCEPTED = 202;

/** How long is waited by default: shorter than most clients' patience. */
const WAIT = '30s';

/** Until whoever asked has waited long enough, or has left. */
function patience({ url, signal }: Asked): AbortSignal {
  const ms = milliseconds(url.searchParams.get('wait') ?? WAIT);
  return AbortSignal.any([signal, AbortSignal.timeout(Math.min(ms, 2 ** 31 - 1))]);
}

/** Carries a verb out that may take long, and answers with what the entry is like then. */
const patiently =
  (verb: (asked: Asked, patience: AbortSignal) => Promise<void>): Route =>
  async (asked) => {
    const { overview, name } = asked;
    const status = await verb(asked, patience(asked)).then(
      () => 200,
      (error: unknown) => {
        if (error instanceof GatewayError) throw error;
        return ACCEPTED;
      },
    );
    return Response.json(stateOf(await overview.entry(name), overview), { status });
  };

async function suspend(asked: Asked): Promise<Response> {
  try {
    await asked.operations.suspend(asked.operator, patience(asked));
  } catch (error) {
    if (error instanceof GatewayError) throw error;
    throw new GatewayError('query_canceled', 'not everything could be written in time: the gateway goes on');
  }
  return Response.json({ suspended: true });
}

async function resumeAll({
  operations,
  operator,
  overview: { paused, suspended },
}: Asked): Promise<Response> {
  await operations.resume(operator, undefined);
  return Response.json({ resumed: { paused, suspended } });
}

function shutDown({ operations, operator, url }: Asked): Response {
  const after = url.searchParams.get('after') ?? undefined;
  if (after !== undefined && after !== 'clients' && after !== 'servers') {
    throw new ConfigError(`after: 'clients' or 'servers', not '${after.slice(0, 100)}'`);
  }
  operations.shutDown(operator, after);
  return Response.json({ shuttingDown: true }, { status: ACCEPTED });
}

/** Carries a verb out and answers with what the entry is like now. */
const then =
  (verb: (asked: Asked) => Promise<void>): Route =>
  async (asked) => {
    await verb(asked);
    return Response.json(stateOf(await asked.overview.entry(asked.name), asked.overview));
  };

const DATABASES: Readonly<Record<string, Route>> = {
  GET: async ({ overview }) =>
    Response.json({ databases: (await overview.entries()).map((entry) => stateOf(entry, overview)) }),
};
const DATABASE: Readonly<Record<string, Route>> = {
  GET: then(async ({ operations, name }) => void (await operations.entry(name))),
};
const PAUSE = patiently(({ operations, operator, name }, until) => operations.pause(operator, name, until));
const WAIT_CLOSE = patiently(({ operations, operator, name }, until) =>
  operations.waitClose(operator, name, until),
);
const DISABLE = then(({ operations, operator, name }) => operations.disable(operator, name));
const ENABLE = then(({ operations, operator, name }) => operations.enable(operator, name));
const RESUME = then(({ operations, operator, name }) => operations.resume(operator, name));
const RECONNECT = then(({ operations, operator, name }) => operations.reconnect(operator, name));
const KILL = then(({ operations, operator, name }) => operations.kill(operator, name));
const SESSIONS: Readonly<Record<string, Route>> = {
  GET: ({ overview }) => Response.json({ sessions: overview.usages.map(sessionOf) }),
};
const SESSION: Readonly<Record<string, Route>> = {
  DELETE({ operations, operator, name }) {
    operations.endSession(operator, name);
    return new Response(null, { status: 204 });
  },
};
const POOLS: Readonly<Record<string, Route>> = {
  GET: ({ overview }) => Response.json({ pools: poolViews(overview) }),
};
const PLUGINS: Readonly<Record<string, Route>> = {
  GET({ plugins, checks }) {
    const all = checks();
    return Response.json({ plugins: plugins.map((plugin) => pluginView(plugin, all)) });
  },
};
const RELOAD: Readonly<Record<string, Route>> = {
  async POST({ operations, operator }) {
    await operations.reload(operator);
    return Response.json({ reloaded: true });
  },
};

const ROUTES: Readonly<Record<OperationPath, Readonly<Record<string, Route>>>> = {
  '/v1/databases': DATABASES,
  '/v1/databases/:name': DATABASE,
  '/v1/databases/:name/pause': { POST: PAUSE },
  '/v1/databases/:name/resume': { POST: RESUME },
  '/v1/databases/:name/disable': { POST: DISABLE },
  '/v1/databases/:name/enable': { POST: ENABLE },
  '/v1/databases/:name/reconnect': { POST: RECONNECT },
  '/v1/databases/:name/wait-close': { POST: WAIT_CLOSE },
  '/v1/databases/:name/kill': { POST: KILL },
  '/v1/sessions': SESSIONS,
  '/v1/sessions/:id': SESSION,
  '/v1/pools': POOLS,
  '/v1/plugins': PLUGINS,
  '/v1/reload': RELOAD,
  '/v1/suspend': { POST: suspend },
  '/v1/resume': { POST: resumeAll },
  '/v1/shutdown': { POST: shutDown },
};

/** A path with its handler, and how it is mounted. */
export type OperationRoute = readonly [path: string, handler: RouteHandler, how: RouteOptions];

/** Each path with what answers there. */
export function operationRoutes(parts: OperationRoutesParts): readonly OperationRoute[] {
  return Object.entries(ROUTES).map(([path, methods]) => [
    path,
    (request, caller) => answer(parts, methods, request, caller),
    { openapi: OPERATION_DOCS[path as OperationPath] },
  ]);
}

async function answer(
  parts: OperationRoutesParts,
  methods: Readonly<Record<string, Route>>,
  request: Request,
  caller: Identity | undefined,
): Promise<Response> {
  const route = methods[request.method === 'HEAD' ? 'GET' : request.method];
  if (!route || !caller) throw new Error('an operation that is none, or without an operator');
  const url = new URL(request.url);
  try {
    const name = decodeURIComponent(url.pathname.split('/')[3] ?? '');
    const operator = { identity: caller, via: 'http' } as const;
    return await route({ ...parts, operator, name, url, signal: request.signal });
  } catch (error) {
    const status = statusOf(error);
    if (status === undefined) throw error;
    return Response.json({ error: (error as Error).message }, { status });
  }
}

const STATUS: Partial<Record<Condition, number>> = {
  invalid_catalog_name: 404,
  invalid_parameter_value: 404,
  query_canceled: 409,
  object_not_in_prerequisite_state: 409,
  config_file_error: 422,
  feature_not_supported: 501,
};

function statusOf(error: unknown): number | undefined {
  if (error instanceof GatewayError) return STATUS[error.code];
  return error instanceof ConfigError || error instanceof URIError ? 400 : undefined;
}

/** Undefined where no client may choose session mode. */
function mostSessionsOf(database: EntryView['database']): number | undefined {
  const { mode, clientMode } = database?.pool ?? {};
  const choose = mode === 'transaction' && clientMode === 'choose';
  return choose ? limitsOf(database?.pool).mostSessions : undefined;
}

function stateOf({ name, database, connections, paused, disabled }: EntryView, overview: Overview): object {
  const usages = overview.usages.filter(({ entry }) => entry === name);
  return {
    name,
    configured: database !== undefined,
    paused,
    disabled,
    mode: database?.pool.mode,
    clientMode: database?.pool.clientMode,
    size: database?.pool.size,
    mostSessions: mostSessionsOf(database),
    connections,
    sessions: usages.length,
    inSessionMode: usages.filter(({ mode }) => mode === 'session').length,
    waiting: usages.filter(({ waitingSince }) => waitingSince !== undefined).length,
  };
}

function sessionOf({ session, entry, role, mode, server, waitingSince }: Usage): object {
  const { id, client, state, stateSince, startedAt, facts } = session;
  return {
    id,
    database: entry,
    role,
    mode,
    state: waitingSince === undefined ? state : 'waiting',
    since: new Date(waitingSince ?? stateSince),
    startedAt: new Date(startedAt),
    address: client.address,
    listener: client.listener,
    issuer: facts.identity?.issuer,
    subject: facts.identity?.subject,
    serverPid: server?.pid,
  };
}
