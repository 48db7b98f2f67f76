/** What a database needs to be asked for passwords: a function that runs as its owner, and a role that may call it and nothing else. */

/** For psql, as a superuser: nobody else may read verifiers. The password is read from the environment, and is in no argument. */
export const SETUP = String.raw`-- Passwords for the plugin passwords of Postern: postern.password_of('name') gives the verifier of a role, or no row.
-- Run it as a superuser in the database that the option query names, with a password for the role that asks:
--   POSTERN_PASSWORDS_PASSWORD=$(cat passwords.password) psql -v ON_ERROR_STOP=1 -f passwords.sql
\getenv password POSTERN_PASSWORDS_PASSWORD
begin;
set local search_path = pg_catalog, pg_temp;

create schema if not exists postern;
grant usage on schema postern to public;

-- No superuser, and nobody who could become one or copy all data, gets in by a password: leave the line out if they shall.
create or replace function postern.password_of(name text) returns table (verifier text, valid_until timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
begin atomic
  select a.rolpassword, a.rolvaliduntil from pg_catalog.pg_authid a
  where a.rolname = name and a.rolcanlogin
    and not (a.rolsuper or a.rolreplication or a.rolbypassrls or a.rolcreaterole);
end;
revoke all on function postern.password_of(text) from public;

-- Whoever owns the schema or the function, which may have been there before, decides who gets in.
do $$ begin
  if exists (
    select from pg_namespace n
    left join pg_proc p on p.pronamespace = n.oid and p.proname = 'password_of'
    join pg_roles o on o.oid in (n.nspowner, p.proowner)
    where n.nspname = 'postern' and not o.rolsuper
  ) then
    raise exception 'schema postern, or postern.password_of, has an owner who is no superuser: alter the owner first, or drop it';
  end if;
end $$;

do $$ begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'postern_passwords') then
    create role postern_passwords login;
  end if;
end $$;
-- Without this the password would be hashed as the server's default says, and stand in its log as it is in the statement:
set local password_encryption = 'scram-sha-256';
set local log_statement = 'none';
alter role postern_passwords password :'password' connection limit 10;
grant execute on function postern.password_of(text) to postern_passwords;

commit;
`;
