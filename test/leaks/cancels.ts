/** Cancels with the right key, early, late, and for nothing, where everybody shares one connection. */
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { query } from './messages.ts';
import type { Session } from './session.ts';
import { shaped } from './steps.ts';
import { Canceller } from './wire-client.ts';

/** Sends a cancel for the session on a connection made before; over when the gateway has closed that. */
async function cancel(session: Session, canceller: Canceller): Promise<void> {
  const { client, run } = session;
  session.cancelling += 1;
  run.findings.trial('cancels');
  try {
    await canceller.cancel(client);
  } finally {
    session.cancelling -= 1;
  }
}

/** It may fail before it is awaited: its session ends when a worker is killed. */
function awaitedLater<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Some instants of the event loop, or up to a few milliseconds. */
async function moment({ run: { random } }: Session): Promise<void> {
  if (random.chance(0.3)) return sleep(random.below(5));
  for (let turns = random.below(40); turns > 0; turns -= 1) await new Promise(setImmediate);
}

/** A statement that nobody may cancel; often one that goes on long enough for a stray cancel to find it. */
async function innocent(session: Session): Promise<void> {
  const tag = session.tag();
  const { random } = session.run;
  const ms = random.chance(0.5) ? random.below(8) : 0;
  const answer = await session.ask(query(`select '${tag}' from pg_sleep(${ms / 1000})`));
  if (shaped(session, answer, 'TDCZ') && answer.rows[0]?.[0] !== tag) {
    session.violation('answers', `the answer is ${answer.rows[0]?.[0]}, not ${tag}`);
  }
}

/** While a statement waits in the queue, runs, or has just ended. */
async function inTime(session: Session): Promise<void> {
  const { random, stage } = session.run;
  const canceller = await Canceller.connect(stage.port);
  const tag = session.tag();
  const sql = random.chance(0.6)
    ? `select '${tag}'`
    : `select '${tag}' from pg_sleep(${random.below(10) / 1000})`;
  const cancelled = moment(session).then(() => cancel(session, canceller));
  // Until the cancel is over it may hit this session's own statement, and no other.
  session.cancelling += 1;
  try {
    const answer = await session.ask(query(sql));
    const good = answer.errors.length > 0 || answer.rows[0]?.[0] === tag;
    if (!good) session.violation('answers', `the answer is ${answer.rows[0]?.[0]}, not ${tag}`);
  } finally {
    await cancelled;
    session.cancelling -= 1;
  }
}

/** While a statement runs for sure, in a transaction that holds the connection. */
async function running(session: Session): Promise<void> {
  const { random, stage } = session.run;
  const canceller = await Canceller.connect(stage.port);
  session.tag();
  const { ready } = await session.ask(query('begin'));
  if (ready !== 'T') return canceller.leave();
  session.cancelling += 1;
  const ended = awaitedLater(session.ask(query('select pg_sleep(0.05)')));
  await sleep(random.below(60));
  try {
    await Promise.all([ended, cancel(session, canceller)]);
  } finally {
    session.cancelling -= 1;
  }
  await session.ask(query('rollback'));
}

/** Together with the COMMIT behind which the connection is somebody else's at once. */
async function atTheEnd(session: Session): Promise<void> {
  const { random, stage } = session.run;
  const canceller = await Canceller.connect(stage.port);
  session.tag();
  const { ready } = await session.ask(query('begin'));
  if (ready !== 'T') return canceller.leave();
  session.cancelling += 1;
  const ended = awaitedLater(session.ask(query('commit')));
  for (let turns = random.below(4); turns > 0; turns -= 1) await new Promise(setImmediate);
  let answer;
  try {
    [answer] = await Promise.all([ended, cancel(session, canceller)]);
  } finally {
    session.cancelling -= 1;
  }
  // It may have hit the COMMIT before that did anything: once in 20 000 times on PostgreSQL itself.
  if (answer.ready !== 'I') await session.ask(query('rollback'));
}

/** After the statement has ended, when the connection is somebody else's. */
async function late(session: Session): Promise<void> {
  const canceller = await Canceller.connect(session.run.stage.port);
  await innocent(session);
  if (session.run.random.chance(0.5)) await moment(session);
  await cancel(session, canceller);
}

/** With a key that is nobody's, or half of one. */
async function guessed(session: Session): Promise<void> {
  const { client, run } = session;
  const canceller = await Canceller.connect(run.stage.port);
  run.findings.trial('cancels');
  const statement = awaitedLater(innocent(session));
  const secret = randomBytes(client.secret.length);
  await canceller.cancel({ processId: client.processId, secret });
  await statement;
}

/** One trial, and statements behind it that have to go on. @throws Over if the session has ended */
export async function tryCancel(session: Session): Promise<void> {
  const way = session.run.random.weighted([
    [4, inTime],
    [1, running],
    [6, atTheEnd],
    [4, late],
    [1, guessed],
  ]);
  await way(session);
  for (let more = session.run.random.below(3); more >= 0; more -= 1) await innocent(session);
}

/** A cancel on the way while its session leaves, so that it arrives at a connection that is somebody else's by then. */
export async function cancelAndLeave(session: Session): Promise<void> {
  const canceller = await Canceller.connect(session.run.stage.port);
  session.client.socket.write(query(`select 'left'`));
  await moment(session);
  const cancelled = cancel(session, canceller);
  session.client.cut(session.run.random.chance(0.5));
  await cancelled;
  await session.client.gone();
}
