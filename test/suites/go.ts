/** The suites of pgx and lib/pq, which stand in their modules. */
import { DATABASE, ended, output, variables } from './suite.ts';
import type { Results, Server, Source, Suite } from './suite.ts';

interface GoEvent {
  readonly Action: string;
  readonly Package: string;
  readonly Test?: string;
  readonly Output?: string;
}

/** Into Go's own cache, where it stays. */
function fetched(module: string, into: string): Source {
  const said = JSON.parse(output(['go', 'mod', 'download', '-json', module], { in: into })) as {
    readonly Dir: string;
  };
  return { folder: said.Dir };
}

function tested(
  { folder }: Source,
  packages: readonly string[],
  environment: Readonly<Record<string, string>>,
): Results {
  const command = ['go', 'test', '-json', '-count=1', '-trimpath', '-p=1', '-timeout=600s', ...packages];
  const results = new Map<string, boolean>();
  const { stdout, stderr } = ended(command, {
    in: folder,
    environment: { ...environment, GOFLAGS: '-mod=mod' },
  });
  if (stderr !== '') console.error(stderr);
  for (const line of stdout.split('\n')) {
    if (!line.startsWith('{')) continue;
    const { Action, Package, Test, Output } = JSON.parse(line) as GoEvent;
    if (Action === 'output') console.error(Output?.trimEnd());
    const isOver = Action === 'pass' || Action === 'fail';
    // Without a name it is a package, which fails with one of its tests.
    if (isOver && Test !== undefined) results.set(`${Package} ${Test}`, Action === 'pass');
  }
  return results;
}

const inPgx = (folder: string, ...tests: string[]): string[] =>
  tests.map((test) => `github.com/jackc/pgx/v5${folder} ${test}`);
const MODES = ['cache_statement', 'cache_describe', 'describe_exec', 'exec', 'simple_protocol'];
const PARTS = ['./pgxpool', './stdlib'];

/** pgx's tests. */
export const pgx: Suite = {
  fetch: (into) => fetched('github.com/jackc/pgx/v5@v5.7.5', into),
  setup: `create extension if not exists hstore; create domain uint64 as numeric(20,0)`,
  part: `packages ${PARTS.join(', ')}`,
  // Its tests set libpq's variables themselves.
  run: (source, { host, port, password }: Server, all) =>
    tested(source, all ? ['.', './pgconn', ...PARTS] : PARTS, {
      PGX_TEST_DATABASE: `host=${host} port=${port} user=postgres password=${password('postgres')} dbname=${DATABASE} sslmode=disable`,
    }),
  known: {
    session: [],
    // A process that is another one for each connection, or that is ended; the last statement of one; and pg_prepared_statements.
    transaction: [
      ...['', '/postgres'].flatMap((each) =>
        inPgx('/pgconn', `TestConnContextCanceledCancelsRunningQueryOnServer${each}`),
      ),
      ...inPgx('', 'TestFatalRxError', 'TestFatalTxError'),
      ...inPgx('/pgxpool', 'TestPoolAfterRelease', 'TestPoolAcquireChecksIdleConns'),
      ...inPgx('/stdlib', 'TestCheckIdleConn', 'TestConnMultiplePrepareAndDeallocate'),
      ...MODES.flatMap((mode) => inPgx('/stdlib', `TestConnMultiplePrepareAndDeallocate/${mode}`)),
    ],
  },
};

/** lib/pq's tests. */
export const libPq: Suite = {
  fetch: (into) => fetched('github.com/lib/pq@v1.10.9', into),
  run: (source, server) => tested(source, ['./...'], variables(server)),
  // A process that is ended.
  known: { session: [], transaction: ['github.com/lib/pq TestPing'] },
};
