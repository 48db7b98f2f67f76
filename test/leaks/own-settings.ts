/** What each session sets for itself, in every way, and what it must therefore see in all its later transactions. */
import { SYNC, parse, query, run as execute } from './messages.ts';
import type { Session } from './session.ts';

/** Columns of the probes with settings that only their session sets: a custom one, and one that the server reports. */
export const OWN = {
  own: `current_setting('leaks.own', true)`,
  zone: `current_setting('timezone')`,
} as const;

/** One of {@link OWN}. */
export type OwnName = keyof typeof OWN;

const NAMES: Readonly<Record<OwnName, string>> = { own: 'leaks.own', zone: 'timezone' };

/** Values bear the number of their session. */
const valueOf = (name: OwnName, id: number, count: number): string =>
  name === 'own' ? `own-${id}-${count}` : `<OWN${id}N${count}>+00:17`;
const OWNER = /own-?(\d+)/i;

/** What a session expects of its own settings. */
export class OwnSettings {
  /** Absent: that of the login. Null: not known, because of an error. */
  readonly #values = new Map<OwnName, string | null>();
  #count = 0;

  next(name: OwnName, id: number): string {
    this.#count += 1;
    return valueOf(name, id, this.#count);
  }

  set(name: OwnName, value: string | null): void {
    this.#values.set(name, value);
  }

  /** RESET; without a name, RESET ALL. */
  reset(name?: OwnName): void {
    if (name === undefined) this.#values.clear();
    else this.#values.delete(name);
  }

  /** What is wrong with the values of a probe. */
  judge(row: Readonly<Record<string, string | null | undefined>>, id: number): readonly string[] {
    return (Object.keys(OWN) as OwnName[]).flatMap((name) => {
      const value = row[name] ?? '';
      const owner = OWNER.exec(value)?.[1];
      if (owner !== undefined && Number(owner) !== id) return [`${name} is session ${owner}'s: ${value}`];
      const expected = this.#values.get(name);
      if (expected === null || expected === value || (expected === undefined && owner === undefined))
        return [];
      return [`${name} is ${value || 'not set'}, not ${expected ?? 'that of the login'}`];
    });
  }
}

/** A text, and the value behind it: the first or second that it sets, that of the login, or the one before. */
type Way = readonly [
  sql: (name: string, one: string, two: string) => string,
  leaves: 'one' | 'two' | 'none' | 'same',
  error?: string,
];

const WAYS: readonly Way[] = [
  [(name, one) => `set ${name} = '${one}'`, 'one'],
  [(name, one) => `/* own */ SET SESSION ${name} TO '${one}'; select 1`, 'one'],
  [(name, one) => `select set_config('${name}', '${one}', false)`, 'one'],
  [(name, one) => `begin; set ${name} = '${one}'; commit`, 'one'],
  [(name, one, two) => `set ${name} = '${one}'; set ${name} = '${two}'`, 'two'],
  [
    (name, one, two) =>
      `begin; set ${name} = '${one}'; savepoint a; set ${name} = '${two}'; rollback to a; commit`,
    'one',
  ],
  [
    (name, one, two) =>
      `begin; set ${name} = '${one}'; savepoint a; set ${name} = '${two}'; release a; commit`,
    'two',
  ],
  [(name, one, two) => `begin; set ${name} = '${one}'; set local ${name} = '${two}'; commit`, 'one'],
  [(name, one) => `begin; set ${name} = '${one}'; rollback`, 'same'],
  [(name, one) => `begin; set local ${name} = '${one}'; commit`, 'same'],
  [(name, one) => `select set_config('${name}', '${one}', true)`, 'same'],
  [(name) => `begin; reset ${name}; rollback`, 'same'],
  [(name, one) => `set ${name} = '${one}'; select 1/0`, 'same', '22012'],
  [(name) => `reset ${name}`, 'none'],
  [(name) => `set ${name} to default`, 'none'],
];

/** The same by the extended protocol, the value as a parameter. @throws Over if the session has ended */
async function extended(session: Session, name: OwnName, one: string): Promise<void> {
  const bytes = [parse('', `select set_config('${NAMES[name]}', $1, false)`), execute('', [one]), SYNC];
  const { errors } = await session.ask(Buffer.concat(bytes));
  session.own.set(name, errors.length > 0 ? null : one);
}

/** Sets or resets something of its own. @throws Over if the session has ended */
export async function setOwn(session: Session): Promise<void> {
  const { random } = session.run;
  session.tag();
  const name = random.pick(Object.keys(OWN) as OwnName[]);
  const [one, two] = [session.own.next(name, session.id), session.own.next(name, session.id)];
  session.run.findings.event('own settings changed');
  if (random.chance(0.2)) return extended(session, name, one);
  const [sql, leaves, expected] = random.pick(WAYS);
  const text = query(sql(NAMES[name], one, two));
  const { errors } = await session.ask(text, expected === undefined ? {} : { expected });
  if (errors.some(({ C: code }) => code !== expected)) session.own.set(name, null);
  else if (leaves === 'none') session.own.reset(name);
  else if (leaves !== 'same') session.own.set(name, leaves === 'one' ? one : two);
}
