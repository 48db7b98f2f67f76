/** One PostgreSQL, one gateway process in front of it, and a way to look past the gateway. */
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { startEmbedded } from '../support/embedded/server.ts';
import { GatewayProcess } from '../support/gateway-process.ts';
import { issuer, now } from '../support/token.ts';
import { CuttingProxy } from './cutting-proxy.ts';
import { entries } from './entries.ts';
import { ROLES, people } from './people.ts';
import type { Person } from './people.ts';
import type { Random } from './random.ts';
import { schema } from './schema.ts';

/** Everything that a run needs. */
export interface Stage {
  /** The gateway's. */
  readonly port: number;
  readonly gateway: GatewayProcess;
  readonly proxy: CuttingProxy;
  /** A superuser's connection to the database, straight to PostgreSQL. */
  readonly admin: Client;
  /** Another one of these. */
  connect(): Promise<Client>;
  tokenOf(person: Person): string;
  /** Stops everything and removes what it wrote. */
  stop(): Promise<void>;
}

/** Pins settings everywhere, and tells SQL who it is where the entry wants that. */
const PLUGINS = `{
      name: 'pins',
      onAuth(_, upstream) {
        const settings = { ...upstream.settings, statement_timeout: '5min', work_mem: '4MB' };
        return { ...upstream, settings, schemas: [parseSchema('leaks')] };
      },
    },
    ...only({ databases: told }, {
      name: 'claims',
      needs: ['identity'],
      onAuth(session, upstream) {
        const claims = { 'request.jwt.claims': JSON.stringify({ sub: session.facts.identity.subject }) };
        return { ...upstream, onCheckout: [...upstream.onCheckout, () => claims] };
      },
    } as Plugin<'identity'>)`;

function configText(
  ports: { readonly calm: number; readonly rough: number },
  passwords: Readonly<Record<string, string>>,
  keys: { readonly issuer: string; readonly audience: string },
  workers: number,
): string {
  const lines = entries.map(({ name, mode, size, rough }) => {
    const pool = `{ mode: '${mode}', size: ${size}, queueTimeout: '60s' }`;
    return `${name}: { ...server, port: ${rough ? ports.rough : ports.calm}, pool: ${pool} },`;
  });
  return `import { defineConfig, only, parseSchema } from 'postern';
import type { Plugin } from 'postern';
import { jwt } from 'postern/plugins/jwt';
import { roles } from 'postern/plugins/roles';
const login = { kind: 'password', passwords: ${JSON.stringify(passwords)} } as const;
const server = { host: '127.0.0.1', database: 'leaks', login } as const;
const told = ${JSON.stringify(entries.filter(({ claims }) => claims).map(({ name }) => name))};
export default defineConfig({
  listen: { port: 0 },
  databases: {
    ${lines.join('\n    ')}
  },
  plugins: [
    jwt({ issuers: [{ issuer: '${keys.issuer}', audience: '${keys.audience}', jwks: 'jwks.json' }] }),
    roles({ claim: 'role', allow: ${JSON.stringify(Object.keys(passwords))} }),
    ${PLUGINS},
  ],
  loginTimeout: '60s',${
    workers === 1
      ? ''
      : `
  workers: ${workers},`
  }
});
`;
}

/** Starts it all. @throws Error if anything does not start; nothing is left then */
export async function setStage(random: Random, workers = 1): Promise<Stage> {
  const undo: (() => Promise<unknown>)[] = [];
  const stop = async (): Promise<void> => {
    for (const one of undo.splice(0).toReversed()) await one();
  };
  try {
    return { ...(await build(random, workers, undo)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function build(
  random: Random,
  workers: number,
  undo: (() => Promise<unknown>)[],
): Promise<Omit<Stage, 'stop'>> {
  // A trace of 400 temporary tables takes some 2 000 locks, and as many again when they go: four at once would fill the table of the default.
  const flags = { max_connections: '100', shared_buffers: '128MB', max_locks_per_transaction: '512' };
  const server = await startEmbedded({ flags });
  undo.push(() => server.stop());
  const connect = async (database = 'leaks'): Promise<Client> => {
    const { host, port, password } = server;
    const client = new Client({ host, port, password, user: 'postgres', database });
    client.on('error', () => {});
    await client.connect();
    undo.push(() => client.end());
    return client;
  };
  const passwords = Object.fromEntries(
    Array.from({ length: ROLES }, (_, number) => [`tenant_${number}`, randomBytes(9).toString('hex')]),
  );
  await (await connect('postgres')).query('create database leaks');
  const admin = await connect();
  await admin.query(schema(passwords));
  const proxy = await CuttingProxy.start(server.port, random);
  undo.push(() => proxy.close());
  const keys = issuer({ algorithms: ['ES256'] });
  const config = configText({ calm: server.port, rough: proxy.port }, passwords, keys, workers);
  const gateway = await GatewayProcess.start({ config, files: { 'jwks.json': JSON.stringify(keys.jwks) } });
  undo.push(() => gateway.remove());
  const { port } = gateway;
  const exp = now() + 86_400;
  const tokens = new Map(
    people.map((person) => [person, keys.sign({ sub: person.subject, role: person.role, exp })]),
  );
  return {
    port,
    gateway,
    proxy,
    admin,
    connect: () => connect(),
    tokenOf: (person) => tokens.get(person) ?? '',
  };
}
