/** What a role may see, as canaries: the oracle of every test in which somebody tries to be somebody else. */
import { DatabaseError } from 'pg';
import type { Client, QueryResult } from 'pg';

/** Reader and writer each have a canary that only they may read: by grant, and by row level security. */
export const CANARIES = `
  create table reader_canary as select 'of reader' as canary;
  create table writer_canary as select 'of writer' as canary;
  grant select on reader_canary to reader;
  grant select on writer_canary to writer;
  create table rows (owner name, canary text);
  insert into rows values ('reader', 'of reader'), ('writer', 'of writer');
  alter table rows enable row level security;
  create policy own on rows using (owner = current_user);
  grant select, delete on rows to reader, writer;
  create schema tenant; create schema evil authorization reader;
`;

/** What {@link outlook} gives where nobody has become somebody else. */
export const OF_READER = [['reader', 'reader', 'of reader', ['of reader']], '42501'];

async function rows(client: Client, sql: string): Promise<unknown[]> {
  // Where row security is off, PostgreSQL refuses to read what a policy would hide.
  const text = `rollback; set row_security = on; ${sql}`;
  const results = (await client.query({ text, rowMode: 'array' })) as unknown as QueryResult<unknown[]>[];
  return results.at(-1)?.rows.flat() ?? [];
}

const OWN = `select session_user::text, current_user::text, (select canary from public.reader_canary),
  array(select canary from public.rows)`;

/** Who the session is and what it may read now: its own, and what is another's. A failed transaction is left first. */
export async function outlook(client: Client): Promise<unknown> {
  const read = (sql: string): Promise<unknown> =>
    rows(client, sql).catch((error: unknown) => {
      if (!(error instanceof DatabaseError)) throw error;
      return error.code;
    });
  return [await read(OWN), await read('select canary from public.writer_canary')];
}

/** Runs what may be refused; anything but PostgreSQL's refusal is thrown. */
export async function attempt(client: Client, sql: string, ...more: readonly object[]): Promise<void> {
  const query = more.length > 0 ? Object.assign({ text: sql }, ...more) : sql;
  await client.query(query as string).catch((error: unknown) => {
    if (!(error instanceof DatabaseError)) throw error;
  });
}
