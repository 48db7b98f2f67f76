-- Run once, by the image, in a server that is new.
\set reader `cat /keys/secrets/reader`
\set writer `cat /keys/secrets/writer`
\set replicator `cat /keys/secrets/replicator`
create role reader login password :'reader';
create role writer login password :'writer';
create role replicator login replication password :'replicator';
-- The image lets nobody replicate.
\! echo 'hostssl replication replicator all scram-sha-256' >> "$PGDATA/pg_hba.conf"

create database orders;
\connect orders
create table orders (id bigint generated always as identity primary key, item text not null);
grant select on orders to reader;
grant select, insert, update, delete on orders to writer;
insert into orders (item) values ('tea'), ('coffee');
