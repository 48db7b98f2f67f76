/** How to connect with a token, in the words of libpq: the token itself is never among them. */
import type { Policy } from './policy.ts';

/** A connection URI (manual, 34.1.1.2), and a line for a shell that has the token in `$TOKEN`. */
export interface Connection {
  readonly uri: string;
  readonly psql: string;
}

/** For a database of the gateway. */
export function connectionTo({ host, port, sslmode }: Policy['connect'], database: string): Connection {
  const where = host.includes(':') ? `[${host}]` : host;
  // A quote would end the shell's text.
  const name = encodeURIComponent(database).replaceAll("'", '%27');
  const uri = `postgresql://_@${where}:${port}/${name}?sslmode=${sslmode}`;
  return { uri, psql: `PGPASSWORD="$TOKEN" psql '${uri}'` };
}
