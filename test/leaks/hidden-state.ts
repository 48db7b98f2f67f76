/** State that a session leaves by functions, of which neither texts nor tags show anything: it bears the number of its session, and no other session may meet it. */
import { SYNC, parse, query, run as execute } from './messages.ts';
import type { Session } from './session.ts';

/** The number by which the advisory locks of sessions can be known. */
export const HIDDEN_LOCKS = 78;

/** Columns of every probe. */
export const HIDDEN = {
  hidden: `current_setting('leaks.hidden', true)`,
  local: `current_setting('leaks.local', true)`,
} as const;

/** Statements for a superuser: the functions, and a table whose trigger runs them. */
export const hiddenSchema = (roles: string): string => `
create function leaks.hide_setting(id int) returns text language sql as
  $$ select set_config('leaks.hidden', 'hidden-' || id, false) $$;
create function leaks.hide_set(id int) returns void language plpgsql as
  $$ begin execute format('set leaks.hidden = %L', 'hidden-' || id); end $$;
create function leaks.hide_locally(id int) returns text language sql as
  $$ select set_config('leaks.local', 'hidden-' || id, true) $$;
create function leaks.hide_lock(id int) returns void language plpgsql as
  $$ begin perform pg_advisory_lock_shared(${HIDDEN_LOCKS}, id); end $$;
create function leaks.hide_channel(id int) returns void language plpgsql as
  $$ begin execute format('listen %I', 'hidden_' || id); end $$;
create function leaks.hide_table(id int) returns void language plpgsql as
  $$ begin execute format('create temp table if not exists %I ()', 'hidden_' || id); end $$;
create function leaks.hide_statement(id int) returns void language plpgsql as $$ begin
  if not exists (select from pg_prepared_statements where name = 'hidden_' || id) then
    execute format('prepare %I as select 1', 'hidden_' || id); end if; end $$;
create function leaks.hide_all(id int) returns void language plpgsql as $$ begin
  perform leaks.hide_setting(id), leaks.hide_lock(id), leaks.hide_channel(id), leaks.hide_table(id); end $$;
create table leaks.hiding (id int);
create function leaks.hide_by_trigger() returns trigger language plpgsql as
  $$ begin perform leaks.hide_lock(new.id), leaks.hide_setting(new.id); return null; end $$;
create trigger hide before insert on leaks.hiding for each row execute function leaks.hide_by_trigger();
grant insert on leaks.hiding to ${roles};
`;

/** Texts with the number of the session as their only parameter. */
const WAYS: readonly string[] = [
  ...['setting', 'set', 'lock', 'channel', 'table', 'statement', 'all', 'locally'].map(
    (what) => `select leaks.hide_${what}($1)`,
  ),
  'insert into leaks.hiding values ($1)',
  'with a as materialized (select leaks.hide_lock($1)) select 1 from a',
];

/** Leaves something by a function, alone or in a transaction, which may be rolled back. @throws Over if the session has ended */
export async function hide(session: Session): Promise<void> {
  const { random, findings } = session.run;
  const way = random.pick(WAYS);
  session.tag();
  findings.event('state left by functions');
  const text = way.replace('$1', `${session.id}`);
  if (random.chance(0.3))
    await session.ask(Buffer.concat([parse('', way), execute('', [`${session.id}`]), SYNC]));
  else if (random.chance(0.4))
    await session.ask(query(`begin; ${text}; ${random.chance(0.5) ? 'commit' : 'rollback'}`));
  else await session.ask(query(text));
}

const OWNER = /hidden[-_](\d+)/g;

/** Everything in the row of a probe that another session has hidden, or that had to end with its transaction. */
export function hiddenByOthers(
  row: Readonly<Record<string, string | null | undefined>>,
  id: number,
): readonly string[] {
  return Object.entries(row).flatMap(([name, value]) => {
    const owners = [...(value ?? '').matchAll(OWNER)].map(([, owner]) => Number(owner));
    const other = owners.find((owner) => owner !== id);
    if (other !== undefined) return [`${name} is session ${other}'s: ${value}`];
    return name === 'local' && owners.length > 0 ? [`${name} has outlived its transaction`] : [];
  });
}
