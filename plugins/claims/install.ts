/** What a database needs for signed claims: plain SQL, no extension; run again, it brings itself up to date. */

/** For psql, as a superuser or as a role that owns nothing else. The key is read from the environment, and is in no argument. */
export const INSTALL = String.raw`-- Signed claims of Postern: postern.claim('sub') and postern.claims() give what the gateway has verified, or NULL.
-- Run it in each database, as the role that shall own it and that no client can become (a superuser will do):
--   POSTERN_CLAIMS_KEY=$(cat claims.key) psql -v ON_ERROR_STOP=1 -f claims.sql
-- In a policy write (select postern.claim('tenant')): so it is looked up once per statement, not once per row.
begin;

-- What somebody else has put there would keep its owner. A superuser may use what anybody owns, and is asked for its own.
do $$ begin
  if exists (select from pg_catalog.pg_namespace n join pg_catalog.pg_roles o on o.oid = n.nspowner, pg_catalog.pg_roles me
    where n.nspname = 'postern' and me.rolname = current_user
    and not case when me.rolsuper then o.rolsuper else pg_catalog.pg_has_role(me.oid, n.nspowner, 'USAGE') end)
  or exists (select from pg_catalog.pg_namespace n join (
      select pronamespace, proowner from pg_catalog.pg_proc union all select relnamespace, relowner from pg_catalog.pg_class
    ) one (within, owner) on one.within = n.oid
    where n.nspname = 'postern' and one.owner <> n.nspowner) then
    raise exception 'schema postern, or something in it, belongs to somebody else: run this as its owner, or drop it';
  end if;
end $$;

create schema if not exists postern;
revoke all on schema postern from public;
grant usage on schema postern to public;

-- Keys as the two padded blocks of RFC 2104: nobody but the owner reads them.
create table if not exists postern.keys (
  id text primary key,
  inner_pad bytea not null,
  outer_pad bytea not null,
  added_at timestamptz not null default pg_catalog.now()
);
revoke all on postern.keys from public;

-- Counts adoptions. Its current value is the session's alone and cannot be set back: an older value is dead.
create sequence if not exists postern.adoptions;
revoke all on sequence postern.adoptions from public;

-- For the owner. To change a key: add the new one, give it to the gateway, and remove the old one when no session uses it:
-- select postern.remove_key(id) from postern.keys where …
create or replace function postern.add_key(secret text) returns text
language plpgsql security invoker set search_path = pg_catalog, pg_temp as $$
declare
  key bytea := convert_to(secret, 'UTF8');
  name text := left(encode(sha256(convert_to(E'postern key\n', 'UTF8') || key), 'hex'), 16);
  inner_pad bytea := decode(repeat('36', 64), 'hex');
  outer_pad bytea := decode(repeat('5c', 64), 'hex');
begin
  if octet_length(key) < 32 then
    raise exception 'a secret of at least 32 bytes is needed' using errcode = 'invalid_parameter_value';
  end if;
  if octet_length(key) > 64 then key := sha256(key); end if;
  for i in 0 .. octet_length(key) - 1 loop
    inner_pad := set_byte(inner_pad, i, get_byte(inner_pad, i) # get_byte(key, i));
    outer_pad := set_byte(outer_pad, i, get_byte(outer_pad, i) # get_byte(key, i));
  end loop;
  insert into postern.keys values (name, inner_pad, outer_pad) on conflict (id) do nothing;
  return name;
end $$;
revoke all on function postern.add_key(text) from public;

create or replace function postern.remove_key(name text) returns void
language sql security invoker set search_path = pg_catalog, pg_temp
as $$ delete from postern.keys where id = name $$;
revoke all on function postern.remove_key(text) from public;

-- HMAC-SHA256 in hexadecimal; NULL without such a key.
create or replace function postern.mac(key_id text, message text) returns text
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
  select encode(sha256(outer_pad || sha256(inner_pad || convert_to(message, 'UTF8'))), 'hex')
  from postern.keys where id = key_id
$$;
revoke all on function postern.mac(text, text) from public;

-- Whether a payload is for this connection, this login, this database, and not over.
create or replace function postern.is_for_us(payload jsonb) returns boolean
language sql stable security invoker set search_path = pg_catalog, pg_temp as $$
  select coalesce(
    payload ->> 'database' = current_database() and payload ->> 'role' = session_user
    and (payload ->> 'pid')::int = pg_backend_pid()
    and (payload ->> 'exp')::numeric > extract(epoch from clock_timestamp()), false)
$$;
revoke all on function postern.is_for_us(jsonb) from public;

-- The gateway calls it at each hand-over, with what no SQL of a client ever sees.
create or replace function postern.adopt(payload text, signature text) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp as $$
declare
  content jsonb := payload::jsonb;
  number bigint;
begin
  -- Compared by their hashes: how long that takes says nothing about how much of a guess was right.
  if sha256(convert_to(postern.mac(content ->> 'key', E'adopt\n' || payload), 'UTF8')) = sha256(convert_to(signature, 'UTF8'))
  and postern.is_for_us(content) then
    number := nextval('postern.adoptions');
    return set_config('postern.claims',
      postern.mac(content ->> 'key', E'claims\n' || number || E'\n' || payload) || ' ' || number || ' ' || payload, false);
  end if;
  raise exception 'these claims are not signed for this session' using errcode = 'invalid_authorization_specification';
end $$;
revoke all on function postern.adopt(text, text) from public;
grant execute on function postern.adopt(text, text) to public;

-- All claims of whom the gateway has handed this connection to, or NULL. Without a handler of errors: that would be a
-- subtransaction, which before PostgreSQL 17 a query with parallel workers may not have. What is signed has been read
-- by postern.adopt and raises nothing; only after DISCARD SEQUENCES there is an error instead of a NULL.
create or replace function postern.claims() returns jsonb
language plpgsql stable parallel restricted security definer set search_path = pg_catalog, pg_temp as $$
declare
  parts text[] := regexp_match(current_setting('postern.claims', true), '^([0-9a-f]{64}) ([0-9]{1,18}) (\{.*)$');
  content jsonb;
begin
  if parts is null or not exists (
    select from postern.keys
    where sha256(convert_to(postern.mac(id, E'claims\n' || parts[2] || E'\n' || parts[3]), 'UTF8'))
      = sha256(convert_to(parts[1], 'UTF8'))
  ) then return null; end if;
  content := parts[3]::jsonb;
  if not postern.is_for_us(content) then return null; end if;
  if parts[2]::bigint <> currval('postern.adoptions') then return null; end if;
  return content -> 'claims';
end $$;
revoke all on function postern.claims() from public;
grant execute on function postern.claims() to public;

-- One claim: a text as it is, anything else as JSON.
create or replace function postern.claim(name text) returns text
language sql stable parallel restricted security invoker set search_path = pg_catalog, pg_temp
as $$ select postern.claims() ->> name $$;
revoke all on function postern.claim(text) from public;
grant execute on function postern.claim(text) to public;

-- Default privileges may have given to others what only the owner may have: the keys above all.
do $$ declare undo text; begin
  for undo in
    select pg_catalog.format('revoke all on %s from %s cascade', what, grantee::pg_catalog.regrole)
    from (
      select 'schema postern', nspowner, nspacl from pg_catalog.pg_namespace where nspname = 'postern'
      union all select case relkind when 'S' then 'sequence ' else 'table ' end || oid::pg_catalog.regclass, relowner, relacl
        from pg_catalog.pg_class where relnamespace = 'postern'::pg_catalog.regnamespace
      union all select 'function ' || oid::pg_catalog.regprocedure, proowner, proacl
        from pg_catalog.pg_proc where pronamespace = 'postern'::pg_catalog.regnamespace
    ) one (what, owner, acl), pg_catalog.aclexplode(acl)
    where grantee not in (0, owner)
  loop execute undo; end loop;
end $$;

\getenv key POSTERN_CLAIMS_KEY
\if :{?key}
select postern.add_key(:'key') as key_id;
\else
\echo 'POSTERN_CLAIMS_KEY is not set: no key was added (select postern.add_key(secret) does it later)'
\endif
commit;
`;
