/** How sessions end: with a word, without one, and in the middle of everything. */
import { TERMINATE, query } from './messages.ts';
import type { Session } from './session.ts';
import { copying, wholeOnly, writing } from './writes.ts';
import type { Written } from './writes.ts';
import type { OutstandingRequests } from './ledger.ts';

type Departure = (session: Session) => Promise<void>;

const terminate: Departure = async ({ client }) => {
  client.socket.end(TERMINATE);
};

const vanish: Departure = async ({ client, run }) => client.cut(run.random.chance(0.5));

/** A whole transaction, and Terminate behind it: PostgreSQL commits it. */
const lastWords: Departure = async (leaving) => {
  const { client, run, entry, id: session, person, pinned } = leaving;
  const id = run.ledger.begin(`last words of ${session} on ${entry.name}`);
  const { bytes } = writing(run.random, id, { note: 'last words', whole: wholeOnly(leaving) });
  client.socket.end(Buffer.concat([bytes, TERMINATE]));
  run.findings.event('transactions with Terminate behind them');
  // Where nothing breaks, no default of the person's own stands in the way, and nothing has to be waited for: whoever
  // leaves while waiting for a connection may not get one any more.
  const certain = !entry.rough && !person.wrecker && pinned;
  if ((await client.gone()) && certain) run.ledger.settle(id, 'confirmed');
};

/** Cut at a random byte of the request: before the decisive one, nothing may come of it. */
const cutRequest = (kind: 'ledger' | 'copied'): Departure => {
  return async (leaving) => {
    const { client, run, entry, id: session } = leaving;
    const ledger: OutstandingRequests = run[kind];
    const { random } = run;
    const lines = kind === 'ledger' ? 1 : 1 + random.below(200);
    const id = ledger.begin(`cut by ${session} on ${entry.name}`, lines);
    const one: Written =
      kind === 'ledger'
        ? writing(random, id, { note: 'cut', whole: wholeOnly(leaving) })
        : copying(id, lines);
    const at = random.below(one.bytes.length + 1);
    if (at < one.decisive) ledger.settle(id, 'refused');
    run.findings.event('requests cut');
    client.socket.write(one.bytes.subarray(0, at));
    for (let turns = random.below(6); turns > 0; turns -= 1) await turn();
    if (random.chance(0.5)) client.socket.destroySoon();
    else client.cut(true);
  };
};

/** Cut when a random part of a long answer has come. */
const cutAnswer: Departure = async ({ client, run }) => {
  run.findings.event('answers cut');
  const sql = `select n, repeat('x', 100) from generate_series(1, 3000) n`;
  await client.askAndCut(query(sql), 1 + run.random.below(300_000));
  client.cut(false);
};

/** Cut while a statement runs, in a transaction that has written. */
const cutStatement: Departure = async ({ client, run, entry, id: session }) => {
  const id = run.ledger.begin(`cut while it ran by ${session} on ${entry.name}`);
  run.ledger.settle(id, 'refused');
  run.findings.event('statements cut');
  client.socket.write(
    query(`begin; insert into leaks.ledger values (${id}, 'cut'); select pg_sleep(0.02); select pg_sleep(5)`),
  );
  for (let turns = run.random.below(30); turns > 0; turns -= 1) await turn();
  client.cut(run.random.chance(0.5));
};

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, 1);
  });

const WAYS: readonly (readonly [number, Departure])[] = [
  [40, terminate],
  [15, vanish],
  [8, lastWords],
  [15, cutRequest('ledger')],
  [10, cutRequest('copied')],
  [6, cutAnswer],
  [6, cutStatement],
];

/** Ends a session in one of many ways; resolves when its connection has ended. */
export async function depart(session: Session): Promise<void> {
  await session.run.random.weighted(WAYS)(session);
  if (!(await session.client.gone())) session.violation('answers', 'the gateway does not let go of a client');
}
