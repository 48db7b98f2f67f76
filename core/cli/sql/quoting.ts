/** Names inside SQL and pg_hba.conf, and texts inside SQL, such that they can end nowhere but at their end. */

/** A quoted identifier (manual, 4.1.1); in pg_hba.conf it also is no keyword and no group (manual, 20.1). */
export function quoted(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/**
 * A database in pg_hba.conf. Behind a slash there is a regular expression since version 16, quotes or not (manual, 20.1): a
 * name that begins with one has to be one that matches nothing else.
 */
export function databaseField(name: string): string {
  return quoted(name.startsWith('/') ? `/^${name.replaceAll(/[\\^$.|?*+()[\]{}]/g, '\\$&')}$` : name);
}

/** A string constant (manual, 4.1.2.1). Names have no backslashes, so it means the same with every setting. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A comment; a line break in it would end it. */
export function comment(text: string): string {
  return `-- ${text.replaceAll(/[\r\n]+/g, ' ')}`;
}

/** An anonymous block of PL/pgSQL (manual, DO), between dollar quotes that its lines do not contain. */
export function block(lines: readonly string[]): string {
  const body = ['begin', ...lines.map((line) => `  ${line}`), 'end'].join('\n');
  const tags = Array.from({ length: 100 }, (_, number) => `$do${number === 0 ? '' : number}$`);
  const tag = tags.find((one) => !body.includes(one));
  if (tag === undefined) throw new Error('names that contain every quote there is');
  return `do ${tag}\n${body}\n${tag};`;
}
