/**
 * The values to which RESET returns on one connection, of settings that say what a text means and that not every server reports:
 * `ALTER ROLE … SET` and `ALTER DATABASE … SET` make those of later logins differ from those of connections that are open.
 */
import { WeakValues } from './weak-values.ts';

/** Settings that the server does not report, and that say what a text means when it is parsed: its comparisons with NULL, and its literals. */
export const READING: readonly string[] = [
  'transform_null_equals',
  'array_nulls',
  'xmloption',
  'lc_monetary',
  'timezone_abbreviations',
  'backslash_quote',
];

/** The settings that are asked for at each login: the first is reported from PostgreSQL 18 on. */
const NAMES: readonly string[] = ['search_path', ...READING];

/** Columns of a query on a new connection; {@link defaultsIn} reads them. Roles and databases are told apart as at the login itself. */
export const DEFAULTS_COLUMNS = [
  ...NAMES.map((name) => `pg_catalog.current_setting('${name}', true)`),
  `(select pg_catalog.string_agg(pg_catalog.split_part(c.one, '=', 1), ',')
    from pg_catalog.pg_db_role_setting as s, pg_catalog.unnest(s.setconfig) as c(one)
    where s.setdatabase operator(pg_catalog.=) any (array[0::pg_catalog.oid, (select d.oid from pg_catalog.pg_database as d
        where d.datname operator(pg_catalog.=) pg_catalog.current_database())])
      and s.setrole operator(pg_catalog.=) any (array[0::pg_catalog.oid,
        pg_catalog.to_regrole(pg_catalog.quote_ident(session_user::pg_catalog.text))::pg_catalog.oid]))`,
].join(',\n  ');

/** How many columns these are. */
export const DEFAULTS_WIDTH = NAMES.length + 1;

/** The value of one setting. */
export interface SessionDefault {
  readonly name: string;
  readonly value: string;
  /** Set for the role or the database: an open session keeps it. Else it may change in the server's configuration, for all sessions. */
  readonly fixed: boolean;
}

/** Equal ones as one object, for as long as a session or a connection has it. */
const known = new WeakValues<SessionDefaults>();
/** Values for {@link SessionDefaults.reading}; one that is forgotten only costs sharing. */
const readings = new Map<string, string>();
const MOST_READINGS = 1_000;
let made = 0;

/** Immutable; equal ones are the same object. */
export class SessionDefaults {
  readonly all: readonly SessionDefault[];
  /** Equal where the values of {@link READING} are equal. */
  readonly reading: string;

  private constructor(all: readonly SessionDefault[]) {
    this.all = all;
    this.reading = readingOf(all);
  }

  /** Those with these values. */
  static of(all: readonly SessionDefault[]): SessionDefaults {
    return known.of(JSON.stringify(all), () => new SessionDefaults(all));
  }

  /** The value of a setting; undefined for one that is not asked for. */
  get(name: string): string | undefined {
    return this.all.find((one) => one.name === name)?.value;
  }

  /**
   * What a session with these has to find in force on a connection whose own are `there`. What is fixed neither here nor there comes
   * from the server's configuration, which is the same for all open sessions: the newest value is right.
   */
  on(there: SessionDefaults): SessionDefaults {
    if (there === this) return this;
    return SessionDefaults.of(
      there.all.map((one) => {
        const own = this.all.find(({ name }) => name === one.name);
        return own && (own.fixed || one.fixed) ? own : one;
      }),
    );
  }

  /** The values of {@link on} that a connection does not have by itself. */
  missingOn(there: SessionDefaults | undefined): readonly SessionDefault[] {
    if (!there || there === this) return [];
    return this.on(there).all.filter(({ name, value }) => value !== there.get(name));
  }
}

function readingOf(all: readonly SessionDefault[]): string {
  const text = JSON.stringify(all.filter(({ name }) => READING.includes(name)).map(({ value }) => value));
  const found = readings.get(text) ?? String((made += 1));
  readings.delete(text);
  readings.set(text, found);
  const [oldest] = readings.keys();
  if (readings.size > MOST_READINGS && oldest !== undefined) readings.delete(oldest);
  return found;
}

/** Reads {@link DEFAULTS_COLUMNS}. */
export function defaultsIn(columns: readonly (string | null)[]): SessionDefaults {
  const fixed = new Set(columns[NAMES.length]?.split(','));
  const all = NAMES.flatMap((name, index) => {
    const value = columns[index];
    return value == null ? [] : [{ name, value, fixed: fixed.has(name) }];
  });
  return SessionDefaults.of(all);
}
