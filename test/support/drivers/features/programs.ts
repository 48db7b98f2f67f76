/** The drivers of the table, and how the program of each is run; a text where one is not to be had here. */
import { go, java, maven, npm, psql, psqlOfWheels, python, pythonOfWheels, ruby, rust } from './builds.ts';
import type { Finder } from './builds.ts';
import { runCases } from './index.ts';
import * as drizzle from './drizzle.ts';
import * as nodePostgres from './node-postgres.ts';
import * as postgresJs from './postgres-js.ts';

/** A row of the table. */
export interface TableDriver {
  readonly name: string;
  /** What has to be set in transaction mode, in the words of the table. */
  readonly note: string;
  /** The program, or why there is none here. */
  readonly find: Finder;
}

/** In the order of the table. */
export const DRIVERS: readonly TableDriver[] = [
  {
    name: 'psql',
    note: 'its `\\copy`, `\\d`, `\\gdesc`, `FETCH_COUNT` and `ON_ERROR_ROLLBACK` too',
    find: psql,
  },
  {
    name: 'psql 18',
    note: 'protocol 3.2 (`max_protocol_version`); its `\\parse`, `\\bind_named` and pipelines too',
    find: psqlOfWheels,
  },
  {
    name: 'node-postgres',
    note: 'COPY and batches by packages of their own',
    find: async () => (place) => runCases(nodePostgres.version, nodePostgres.cases, place),
  },
  {
    name: 'postgres.js',
    note: '`listen` has a connection of its own, and keeps it',
    find: async () => (place) => runCases(postgresJs.version, postgresJs.cases, place),
  },
  {
    name: 'Drizzle',
    note: 'with node-postgres; its `migrate` too',
    find: async () => (place) => runCases(drizzle.version, drizzle.cases, place),
  },
  {
    name: 'TypeORM',
    note: 'with node-postgres; `synchronize` and migrations too',
    find: npm('npm', 'typeorm.js'),
  },
  {
    name: 'Prisma',
    note: 'with `@prisma/adapter-pg`, prepared or not; `?schema=` as directly',
    find: npm('prisma', 'prisma.js'),
  },
  { name: 'psycopg 3', note: 'its pipelines too', find: python(['psycopg'], 'psycopg_features.py') },
  {
    name: 'psycopg 3, libpq 18',
    note: 'protocol 3.2; its pipelines too',
    find: pythonOfWheels('psycopg_features.py'),
  },
  {
    name: 'asyncpg',
    note: '`server_settings` are there again after the reset of its pool',
    find: python(['asyncpg'], 'asyncpg_features.py'),
  },
  {
    name: 'SQLAlchemy',
    note: 'with psycopg2, which prepares nothing; `stream_results` keeps a connection',
    find: python(['sqlalchemy', 'psycopg2'], 'sqlalchemy_features.py'),
  },
  {
    name: 'Django',
    note: 'with psycopg2; `DISABLE_SERVER_SIDE_CURSORS` is not needed: an iterator keeps its connection',
    find: python(['django', 'psycopg2'], 'django_features.py'),
  },
  {
    name: 'Rails',
    note: '`advisory_locks` and `prepared_statements` may stay as they are; its migrations too',
    find: ruby(['activerecord', 'pg'], 'rails_features.rb'),
  },
  { name: 'pgx', note: 'its cache of statements too', find: go('pgx') },
  { name: 'lib/pq', note: '`binary_parameters` is not needed', find: go('libpq') },
  {
    name: 'tokio-postgres',
    note: 'its pipelines, portals and look-ups of types too',
    find: rust('tokio-postgres'),
  },
  { name: 'sqlx', note: 'its cache of statements and its migrations too', find: rust('sqlx') },
  {
    name: 'pgjdbc',
    note: '`prepareThreshold` may stay as it is',
    find: java('PgjdbcFeatures.java'),
  },
  {
    name: 'Flyway',
    note: 'with pgjdbc, two connections at once; `postgresql.transactional.lock=false` for indexes `CONCURRENTLY`, as directly',
    find: maven('flyway', 'FlywayFeatures.java'),
  },
];
