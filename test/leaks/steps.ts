/** What sessions do between their login and their end: each step knows the exact answer it must get. */
import { parse, query, run as execute, SYNC } from './messages.ts';
import { ROLES, people } from './people.ts';
import { hide } from './hidden-state.ts';
import { setOwn } from './own-settings.ts';
import { withTag } from './probe.ts';
import type { Probe } from './probe.ts';
import type { Session } from './session.ts';
import { full } from './probe.ts';
import { leave, traces, wrecks } from './traces.ts';
import type { Answer } from './wire-client.ts';
import { copy, transaction } from './writes.ts';

/** @throws Over if the session has ended */
export type Step = (session: Session) => Promise<void>;

/** Whether the answer is of this shape; else that is noted, unless an error excuses it. */
export function shaped(session: Session, { trail, errors }: Answer, shape: string): boolean {
  if (trail === shape) return true;
  // The error itself has been judged.
  if (errors.length === 0) session.violation('answers', `the answer is ${trail}, not ${shape}`);
  return false;
}

/** A probe by the simple protocol. */
export const look: Step = async (session) => {
  const probe = session.probe();
  const tag = session.tag();
  const answer = await session.ask(query(withTag(probe, tag)));
  if (shaped(session, answer, 'TDCZ')) session.judge(probe, answer.rows[0], tag);
};

/** The messages of a probe by a prepared statement, with its Parse where that is needed, and the answer's types. */
function prepared(session: Session, probe: Probe, tag: string): readonly [Buffer, string] {
  const name = `${probe === full ? 'full' : 'quick'} ${session.names}`;
  const known = session.prepared.has(name);
  session.prepared.add(name);
  const bytes = [...(known ? [] : [parse(name, probe.sql)]), execute(name, [tag]), SYNC];
  return [Buffer.concat(bytes), known ? '2DCZ' : '12DCZ'];
}

/** Some probes by prepared statements, in one write. */
const lookPrepared: Step = async (session) => {
  const times = session.run.random.chance(0.7) ? 1 : 2 + session.run.random.below(5);
  const asked = Array.from({ length: times }, () => {
    const [probe, tag] = [session.probe(), session.tag()];
    return { probe, tag, messages: prepared(session, probe, tag) };
  });
  const bytes = Buffer.concat(asked.map(({ messages }) => messages[0]));
  const answer = await session.ask(bytes, { times });
  // Which statements are there is not known after an error in a batch that prepares: other names are used from then on.
  if (answer.errors.length > 0) session.names += 1;
  if (!shaped(session, answer, asked.map(({ messages }) => messages[1]).join(''))) return;
  asked.forEach(({ probe, tag }, i) => session.judge(probe, answer.rows[i], tag));
};

/** The unnamed statement, and nothing but an echo. */
const echo: Step = async (session) => {
  const tag = session.tag();
  const bytes = [parse('', 'select $1::text'), execute('', [tag]), SYNC];
  const answer = await session.ask(Buffer.concat(bytes));
  if (shaped(session, answer, '12DCZ') && answer.rows[0]?.[0] !== tag) {
    session.violation('answers', `the answer is ${answer.rows[0]?.[0]}, not ${tag}`);
  }
};

/** An error that bears the tag, alone or in the middle of a pipeline. */
const mistake: Step = async (session) => {
  const tag = session.tag();
  const piped = session.run.random.chance(0.5);
  const wrong = `select 'x${tag}'::int`;
  const batch = [parse('', 'select 1'), execute(''), parse('', wrong), execute(''), execute(''), SYNC];
  const bytes = piped ? Buffer.concat(batch) : query(wrong);
  const answer = await session.ask(bytes, { expected: '22P02' });
  const own = answer.errors.filter(({ M: text }) => text?.includes(`"x${tag}"`) === true);
  const excused = answer.errors.some((error) => session.excused(error));
  if (own.length !== 1 && !excused) session.violation('answers', `the error is not the one of ${tag}`);
};

/** Rows that another role may read. */
const foreign: Step = async (session) => {
  const { random } = session.run;
  const role = `tenant_${random.below(ROLES)}`;
  if (role === session.person.role) return;
  session.tag();
  session.run.findings.trial('rows');
  const answer = await session.ask(query(`select role from leaks.only_${role}`), { expected: '42501' });
  if (answer.rows.length > 0) session.violation('rows', `rows of ${role}`);
};

/** Speaks on somebody's channel. */
const notify: Step = async (session) => {
  session.tag();
  const { number } = session.run.random.pick(people);
  // Of its own session, or of one that came shortly before or after it.
  const near = Math.max(0, session.id + session.run.random.below(21) - 10);
  await session.ask(query(`notify left_${number}, 'heard'; notify hidden_${near}, 'heard'`));
};

const trace: Step = (session) => leave(session, session.run.random.pick(traces));
const wreck: Step = (session) => leave(session, session.run.random.pick(wrecks));

const STEPS: readonly (readonly [number, Step])[] = [
  [34, look],
  [34, lookPrepared],
  [10, echo],
  [12, transaction],
  [4, mistake],
  [2, copy],
  [10, setOwn],
  [6, hide],
  [1, foreign],
  [0.5, notify],
  [2, trace],
];
const WRECKERS: readonly (readonly [number, Step])[] = [
  [2, look],
  [1, echo],
  [1, transaction],
  [1, trace],
  [3, wreck],
];

/** One step of a person. @throws Over if the session has ended */
export const step: Step = (session) =>
  session.run.random.weighted(session.person.wrecker ? WRECKERS : STEPS)(session);
