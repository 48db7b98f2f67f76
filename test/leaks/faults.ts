/** What goes wrong around the gateway: backends that are terminated, connections that are cut, locks that a reset waits for. */
import { setTimeout as sleep } from 'node:timers/promises';
import { TERMINATE, query } from './messages.ts';
import { people } from './people.ts';
import { clinging } from './schema.ts';
import type { Run } from './session.ts';
import { WireClient } from './wire-client.ts';

const KILL = `select pg_terminate_backend(pid) from pg_stat_activity
  where client_port = any($1) and pid <> pg_backend_pid() order by random() limit 1`;

/** Terminates backends and cuts connections behind the proxy, until the run is over. */
export async function harm(run: Run): Promise<void> {
  const { random, stage, findings } = run;
  while (!run.over) {
    await sleep(50 + random.below(300));
    if (random.chance(0.5)) {
      stage.proxy.cut(random);
      findings.event('connections cut');
    } else {
      const { rows } = await stage.admin.query(KILL, [stage.proxy.ports]);
      if (rows.length > 0) findings.event('backends terminated');
    }
  }
}

/** Longer than a reset may take. */
const HELD_MS = 2_500;
const PAUSE_MS = 6_000;

/**
 * Leaves, again and again until the run is over, a temporary function that a table's default uses, while somebody holds a
 * lock on that table: DISCARD would wait for it.
 */
export async function hinder(run: Run): Promise<void> {
  const admin = await run.stage.connect();
  for (let number = 0; !run.over; number += 1) {
    const table = `clinging_${number}`;
    if (await cling(run, table)) {
      await admin.query(`begin; lock table scratch.${table} in access share mode`);
      await sleep(HELD_MS);
      await admin.query('commit');
      run.findings.event('resets that had to wait for a lock');
    }
    await admin.query(`drop table if exists scratch.${table} cascade`);
    for (let waited = 0; waited < PAUSE_MS && !run.over; waited += 100) await sleep(100);
  }
}

/** True if the function was left; the session's end is what follows. */
async function cling({ stage, random }: Run, table: string): Promise<boolean> {
  const wrecker = random.pick(people.filter((person) => person.wrecker));
  const whose = { database: 's2', token: stage.tokenOf(wrecker) };
  const { client, answer } = await WireClient.login(stage.port, whose);
  if (answer.ready !== 'I') return false;
  const left = await client.ask(query(clinging(table)));
  client.socket.end(TERMINATE);
  return left.errors.length === 0 && !left.ended;
}
