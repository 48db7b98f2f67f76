-- One table for all tenants. Run it after claims.sql, as the owner of the table.
create table orders (
  id bigint generated always as identity primary key,
  tenant text not null default postern.claim('tenant'),
  customer text not null,
  made_by text not null default postern.claim('sub')
);
grant select, insert, update, delete on orders to writer;

alter table orders enable row level security;
-- In (select …), so that the claim is looked up once per statement and not once per row.
create policy own_rows on orders to writer
  using (tenant = (select postern.claim('tenant')))
  with check (tenant = (select postern.claim('tenant')) and made_by = (select postern.claim('sub')));
create index on orders (tenant);
