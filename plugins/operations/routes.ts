/** The operators' verbs over HTTP: what there is as JSON, and what they order by POST. */
import { ConfigError, GatewayError } from '../../core/index.ts';
import type { Condition, GatewayHandle, Identity } from '../../core/index.ts';
import { ACCEPTED, patience } from './asked.ts';
import type { Asked, Desk, Route } from './asked.ts';
import { operationDocs } from './docs.ts';
import type { OperationPath } from './docs.ts';
import { pauseEither, toEither } from './fleet-routes.ts';
import type { Mounted } from './mounted.ts';
import type { Operations } from './options.ts';
import { databaseView, fleetView, poolView, sessionView } from './views.ts';

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
    return Response.json(databaseView(await overview.entry(name)), { status });
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
    return Response.json(databaseView(await asked.overview.entry(asked.name)));
  };

const DATABASES: Readonly<Record<string, Route>> = {
  async GET({ overview }) {
    const { entries, ...silent } = await overview.read('entries');
    return Response.json({ databases: entries.map(databaseView), ...silent });
  },
};
const DATABASE: Readonly<Record<string, Route>> = {
  GET: then(({ operations, name }) => operations.known(name)),
};
const PAUSE = pauseEither(
  patiently(({ operations, operator, name }, until) => operations.pause(operator, name, until)),
);
const WAIT_CLOSE = patiently(({ operations, operator, name }, until) =>
  operations.waitClose(operator, name, until),
);
const DISABLE = toEither(
  then(({ operations, operator, name }) => operations.disable(operator, name)),
  (fleet, { operator, name }) => fleet.disable(operator, name),
);
const ENABLE = toEither(
  then(({ operations, operator, name }) => operations.enable(operator, name)),
  (fleet, { operator, name }) => fleet.enable(operator, name),
);
const RESUME = toEither(
  then(({ operations, operator, name }) => operations.resume(operator, name)),
  (fleet, { operator, name }) => fleet.resume(operator, name),
);
const RECONNECT = then(({ operations, operator, name }) => operations.reconnect(operator, name));
const KILL = then(({ operations, operator, name }) => operations.kill(operator, name));
const SESSIONS: Readonly<Record<string, Route>> = {
  async GET({ overview }) {
    const { sessions, ...silent } = await overview.read('sessions');
    return Response.json({ sessions: sessions.map(sessionView), ...silent });
  },
};
const SESSION: Readonly<Record<string, Route>> = {
  async DELETE({ operations, operator, name }) {
    await operations.endSession(operator, name);
    return new Response(null, { status: 204 });
  },
};
const POOLS: Readonly<Record<string, Route>> = {
  async GET({ overview }) {
    const { pools, ...silent } = await overview.read('pools');
    return Response.json({ pools: pools.map(poolView), ...silent });
  },
};
const PLUGINS: Readonly<Record<string, Route>> = {
  GET: ({ overview }) => Response.json({ plugins: overview.plugins() }),
};
const FLEET: Readonly<Record<string, Route>> = {
  GET({ overview: { fleet } }) {
    if (fleet) return Response.json(fleetView(fleet));
    throw new GatewayError('feature_not_supported', 'this gateway is in no fleet: its config has no fleet');
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
  '/v1/fleet': FLEET,
  '/v1/reload': RELOAD,
  '/v1/suspend': { POST: suspend },
  '/v1/resume': { POST: resumeAll },
  '/v1/shutdown': { POST: shutDown },
};

/** The routes that only operators may use. */
export function operationRoutes(gateway: GatewayHandle, options: Operations): readonly Mounted[] {
  const docs = operationDocs(options);
  const desk = {
    ...options,
    operations: gateway.service('operations'),
    overview: gateway.service('overview'),
  };
  return Object.entries(ROUTES).map(([path, methods]) => ({
    path,
    handler: (request, caller) => answer(desk, methods, request, caller),
    how: { openapi: docs[path as OperationPath] },
  }));
}

async function answer(
  desk: Desk,
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
    return await route({ ...desk, operator, name, url, signal: request.signal });
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
  connection_failure: 503,
};

function statusOf(error: unknown): number | undefined {
  if (error instanceof GatewayError) return STATUS[error.code];
  return error instanceof ConfigError || error instanceof URIError ? 400 : undefined;
}
