/** The demo's tables: one, in a database of its own, and two roles that may do different things with it. */

/** What they are called on the server. */
export interface Names {
  readonly database: string;
  /** May select. */
  readonly reader: string;
  /** May change rows as well. */
  readonly writer: string;
}

/** Passwords of the two roles. Only the gateway knows them: clients have tokens. */
export interface Passwords {
  readonly reader: string;
  readonly writer: string;
}

/** Run by a superuser in any database. */
export function rolesAndDatabase(
  { database, reader, writer }: Names,
  passwords: Passwords,
): readonly string[] {
  return [
    `create role ${reader} login password '${passwords.reader}'`,
    `create role ${writer} login password '${passwords.writer}'`,
    `create database ${database}`,
  ];
}

/** Run by a superuser in the new database. */
export function tables({ reader, writer }: Names): readonly string[] {
  return [
    `create table orders as
       select * from (values (1, 'Ada', 120), (2, 'Grace', 80), (3, 'Edsger', 45)) as row (id, customer, amount)`,
    `grant select on orders to ${reader}, ${writer}`,
    `grant insert, update, delete on orders to ${writer}`,
  ];
}

/** Run by a superuser in any other database: undoes both. */
export function removal({ database, reader, writer }: Names): readonly string[] {
  return [
    `drop database if exists ${database} with (force)`,
    `drop role if exists ${reader}`,
    `drop role if exists ${writer}`,
  ];
}
