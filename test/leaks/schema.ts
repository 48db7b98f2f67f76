/** What the test's database holds: canary rows, the ledger, what COPY fills, and functions that look. */
import { hiddenSchema } from './hidden-state.ts';
import type { Person } from './people.ts';
import { ROLES, people, wordOf } from './people.ts';

const tenants = Array.from({ length: ROLES }, (_, number) => `tenant_${number}`);

const canary = ({ subject, role, ...person }: Person): string =>
  `('${role}', '${subject}', '${wordOf({ subject, role, ...person })}')`;

/**
 * Statements for a superuser. Each person sees one row of `leaks.canary`, by role and claim. `leaks.last()` is lastval, or
 * null where there is none.
 */
export const schema = (passwords: Readonly<Record<string, string>>): string => `
${tenants.map((role) => `create role ${role} login password '${passwords[role]}';`).join('\n')}
create role common;
grant common to ${tenants.join(', ')};
create schema leaks;
create schema scratch;
grant usage on schema leaks to ${tenants.join(', ')}, common;
grant usage, create on schema scratch to ${tenants.join(', ')};
create table leaks.ledger (id int, note text);
create table leaks.copied (id int, line int);
grant insert on leaks.ledger, leaks.copied to ${tenants.join(', ')};
create sequence leaks.numbers;
grant usage on sequence leaks.numbers to ${tenants.join(', ')};
create table leaks.canary (role text, subject text, word text);
insert into leaks.canary values ${people.map(canary).join(', ')};
alter table leaks.canary enable row level security;
create policy own on leaks.canary using (role = current_user
  and subject = nullif(current_setting('request.jwt.claims', true), '')::json ->> 'sub');
grant select on leaks.canary to ${tenants.join(', ')};
${tenants.map((role) => `create table leaks.only_${role} as select '${role}'::text as role; grant select on leaks.only_${role} to ${role};`).join('\n')}
create function leaks.last() returns bigint language plpgsql as $$
  begin return pg_catalog.lastval(); exception when others then return null; end $$;
${hiddenSchema(tenants.join(', '))}
`;

/** Statements for the temporary function whose use as a default makes DISCARD wait for somebody's lock. */
export const clinging = (table: string): string => `
create function pg_temp.clinging() returns int language sql as 'select 1';
create table scratch.${table} (n int default pg_temp.clinging())`;
