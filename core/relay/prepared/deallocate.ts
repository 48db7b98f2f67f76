/** Reads `DEALLOCATE name` in SQL: some drivers close in this way statements that they prepared by messages (manual, "DEALLOCATE"). */
import { withoutLiterals } from '../../sql/sql-text.ts';

const DEALLOCATE = /\bdeallocate\b/i;
/** Quoted names, the ends of statements, and the rest. */
const PARTS = /"(?:[^"]|"")*"|;|[^";]+/g;
/** Spaces are those of PostgreSQL's lexer: other bytes may belong to a name. */
const COMMAND =
  /^[ \t\n\r\f\v]*deallocate(?:[ \t\n\r\f\v]+prepare)?(?:[ \t\n\r\f\v]*"((?:[^"]|"")+)"|[ \t\n\r\f\v]+([a-z_\x80-\xff][\w$\x80-\xff]*))[ \t\n\r\f\v]*$/i;
const NONE: readonly string[] = [];

/** The names that the commands of a text deallocate, in their order; `ALL` is none of them. Strings are bytes as characters. */
export function deallocated(text: string): readonly string[] {
  if (!DEALLOCATE.test(text)) return NONE;
  const names: string[] = [];
  let statement = '';
  // A comment ends with its line.
  for (const [part] of withoutLiterals(`${text}\n;`).matchAll(PARTS)) {
    if (part !== ';') statement += part;
    else {
      const [, quoted, plain] = COMMAND.exec(statement) ?? [];
      const name = quoted?.replaceAll('""', '"') ?? plain?.replaceAll(/[A-Z]/g, (c) => c.toLowerCase());
      if (name !== undefined && (quoted !== undefined || name !== 'all')) names.push(name);
      statement = '';
    }
  }
  return names;
}
