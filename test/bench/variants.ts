/** Gateways with policies in front of the same database: what each costs beside a gateway without. */

/** What a gateway's config has besides `jwt` and `roles`. */
export interface Variant {
  /** Import lines. */
  readonly imports: string;
  /** Entries of `plugins`. */
  readonly plugins: string;
  /** Further members of the config. */
  readonly more?: string;
  /** Whether `env('COLLECTOR')` has to be the address of a collector of traces. Default false. */
  readonly collector?: boolean;
}

const from = (name: string, folder: string): string => `import { ${name} } from 'postern/plugins/${folder}';`;

/** The secret of signed claims: the bench gives it to the database as well. */
export const CLAIMS_KEY = 'of the benchmark, which keeps nothing that is worth it';

/** Spans of so many of the sessions, to a collector of the bench; no metrics. */
function traces(ratio: number): Variant {
  return {
    imports: from('tracing', 'tracing'),
    plugins: `tracing({ metrics: false, traces: { endpoint: env('COLLECTOR'), ratio: ${ratio} } }),`,
    collector: true,
  };
}

/** By the name that `--with` takes. */
export const VARIANTS: Readonly<Record<string, Variant>> = {
  /** A hook that looks at every statement and lets it pass: what the cheapest policy costs. */
  onQuery: {
    imports: '',
    plugins: `{ name: 'looking', onQuery: (session, statement) => { if ('sql' in statement && statement.sql === 'never') throw new Error(); } },`,
  },
  /** An observer that ignores every statement: the gateway's own part of what audit and traces cost. */
  observer: { imports: '', plugins: `{ name: 'ignoring', on: { statement: () => {} } },` },
  /** Every policy, with limits that nobody reaches. */
  policies: {
    imports: [
      from('claims', 'claims'),
      from('ipFilter', 'ip-filter'),
      from('limits', 'limits'),
      from('rateLimit', 'rate-limit'),
      from('tenant', 'tenant'),
    ].join('\n'),
    plugins: `
      ipFilter({ allow: ['127.0.0.0/8'], deny: ['127.0.0.66'] }),
      rateLimit({ connections: { per: 'address', limit: '1000000/s' }, statements: { per: 'subject', limit: '10000000/s' } }),
      tenant({ claim: 'tenant', default: 'bench' }),
      claims({ key: '${CLAIMS_KEY}', select: ['sub', 'tenant'] }),
      limits({ maxConnections: { subject: 1000 }, maxSession: '1d', timeouts: { statement: '1h' } }),`,
  },
  metrics: {
    imports: from('tracing', 'tracing'),
    plugins: `tracing({ metrics: {} }),`,
    more: 'admin: { port: 0 },',
  },
  /** Of one session in a hundred. */
  traces1: traces(0.01),
  /** Of every session. */
  traces: traces(1),
  audit: { imports: from('audit', 'audit'), plugins: `audit({ sink: { file: 'audit.jsonl' } }),` },
};

/** The variants with these names, comma-separated; none of an empty text. */
export function variantsOf(names: string): readonly (readonly [name: string, variant: Variant])[] {
  const chosen = names.split(',');
  return Object.entries(VARIANTS).filter(([name]) => chosen.includes(name));
}
