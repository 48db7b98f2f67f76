/** When all sessions are over: what is left, and whether everybody was told the truth. */
import { setTimeout as sleep } from 'node:timers/promises';
import { entries } from './entries.ts';
import type { Run } from './session.ts';

const BACKENDS = `select pid, usename, state, query from pg_stat_activity where usename like 'tenant%'`;
const BUSY = `${BACKENDS} and state is distinct from 'idle'`;
const LOCKS = `select locktype, pid from pg_locks where locktype = 'advisory'`;
const OPENED = `select sessions::int as n from pg_stat_database where datname = 'leaks'`;
const SETTLE_MS = 20_000;

/** Looks, and stops the gateway in between. */
export async function reckon(run: Run): Promise<void> {
  const { stage, findings, ledger, copied } = run;
  const most = entries.reduce((sum, { size }) => sum + size, 0);
  await nothing(run, 'a transaction goes on', BUSY);
  await nothing(run, 'a lock is held', LOCKS);
  const backends = await rows(run, BACKENDS);
  findings.trial('leftovers');
  if (backends.length > most) {
    findings.violation('leftovers', `${backends.length} server connections instead of ${most}`);
  }
  stage.gateway.signal('SIGTERM');
  const end = await stage.gateway.ended();
  findings.trial('leftovers');
  if (end !== 0) findings.violation('leftovers', `the gateway ended with ${end}`);
  const errors = stage.gateway.log.split('\n').filter((text) => text.includes('"level":"error"'));
  // The suite has killed so many workers itself; a worker that ends by itself is one more.
  const deaths = errors.filter((text) => text.includes('"msg":"a worker has ended"'));
  const expected = new Set(deaths.slice(0, findings.events.get('workers killed') ?? 0));
  for (const line of errors.filter((text) => !expected.has(text))) {
    findings.violation('leftovers', `the gateway says ${line}`);
  }
  await nothing(run, 'a server connection outlives the gateway', BACKENDS);
  ledger.check('commits', await counts(run, 'leaks.ledger'), findings);
  copied.check('copies', await counts(run, 'leaks.copied'), findings);
  const [opened] = await rows(run, OPENED);
  findings.events.set('server connections opened', opened?.n ?? 0);
  for (const outcome of ['confirmed', 'refused', 'unknown'] as const) {
    findings.events.set(`transactions ${outcome}`, ledger.count(outcome));
    findings.events.set(`COPYs ${outcome}`, copied.count(outcome));
  }
}

async function rows({ stage }: Run, sql: string): Promise<readonly { readonly n?: number }[]> {
  return (await stage.admin.query<{ n?: number }>(sql)).rows;
}

/** Soon there have to be no rows. */
async function nothing(run: Run, what: string, sql: string): Promise<void> {
  run.findings.trial('leftovers');
  let left = await rows(run, sql);
  for (let waited = 0; left.length > 0 && waited < SETTLE_MS; waited += 100) {
    await sleep(100);
    left = await rows(run, sql);
  }
  if (left.length > 0) run.findings.violation('leftovers', `${what}: ${JSON.stringify(left)}`);
}

async function counts({ stage }: Run, table: string): Promise<ReadonlyMap<number, number>> {
  const sql = `select id, count(*)::int as n from ${table} group by id`;
  const found = await stage.admin.query<{ id: number; n: number }>(sql);
  return new Map(found.rows.map(({ id, n }) => [id, n]));
}
