/** Values as TypeScript: what a config file says that a command writes. */

/** An expression that stands as it is, such as `env('ORDERS_PASSWORD')`. */
export class Expression {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** A member of an object, with comments above it. */
export interface Member {
  readonly name: string;
  /** Undefined: nothing is written, comments neither. */
  readonly value: Value | undefined;
  /** Lines. Default: none. */
  readonly above?: readonly string[];
}

/** An object whose members may have comments. */
export class Members {
  readonly list: readonly Member[];

  constructor(list: readonly Member[]) {
    this.list = list.filter(({ value }) => value !== undefined);
  }
}

/** What can be written: `{ … }` is a record without comments, of which undefined members are left out. */
export type Value = string | number | boolean | Expression | Members | readonly Value[] | RecordOfValues;
interface RecordOfValues {
  readonly [name: string]: Value | undefined;
}

const WIDTH = 110;
const PLAIN_NAME = /^[A-Za-z_$][\w$]*$/;

/** A string in single quotes. */
export function quotedText(text: string): string {
  // JSON escapes all that a line of TypeScript cannot have, but in double quotes.
  const escaped = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `'${escaped.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}'`;
}

/** An environment variable, read when the config is loaded. */
export const fromEnv = (name: string): Expression => new Expression(`env(${quotedText(name)})`);

/** Lines of a comment; a line break inside one would end it. */
export function commentLines(lines: readonly string[], indent = ''): readonly string[] {
  return lines.map((line) => `${indent}// ${line.replaceAll(/[\r\n\u2028\u2029]+/g, ' ')}`.trimEnd());
}

function membersOf(value: Members | RecordOfValues): readonly Member[] {
  if (value instanceof Members) return value.list;
  return Object.entries(value).flatMap(([name, one]) => (one === undefined ? [] : [{ name, value: one }]));
}

function nameOf(name: string): string {
  // Unless it is computed, this one sets the prototype.
  if (name === '__proto__') return "['__proto__']";
  return PLAIN_NAME.test(name) ? name : quotedText(name);
}

function isList(value: Value): value is readonly Value[] {
  return Array.isArray(value);
}

const isObject = (value: Value): value is Members | RecordOfValues =>
  typeof value === 'object' && !isList(value) && !(value instanceof Expression);

/** Objects with several members each have a line each, as the formatter of this repository has it. */
function isTable(list: readonly Value[]): boolean {
  return list.length > 1 && list.every((item) => isObject(item) && membersOf(item).length > 1);
}

/** On one line; undefined where comments stand inside. */
function onOneLine(value: Value): string | undefined {
  if (typeof value === 'string') return quotedText(value);
  if (typeof value !== 'object') return String(value);
  if (value instanceof Expression) return value.text;
  if (isList(value)) {
    if (isTable(value)) return undefined;
    const items = value.map(onOneLine);
    return items.includes(undefined) ? undefined : `[${items.join(', ')}]`;
  }
  const members = membersOf(value);
  if (members.length === 0) return '{}';
  const parts = members.map((member) => {
    const text = member.above?.length ? undefined : onOneLine(member.value ?? '');
    return text === undefined ? undefined : `${nameOf(member.name)}: ${text}`;
  });
  return parts.includes(undefined) ? undefined : `{ ${parts.join(', ')} }`;
}

function memberLines({ name, value = '', above = [] }: Member, indent: string): readonly string[] {
  const start = `${indent}${nameOf(name)}: `;
  return [...commentLines(above, indent), `${start}${sourceOf(value, indent, start.length)},`];
}

/**
 * TypeScript of a value, on one line if it fits and has no comments.
 * @param indent of the line on which it begins
 * @param column at which it begins
 */
export function sourceOf(value: Value, indent = '', column = indent.length): string {
  const line = onOneLine(value);
  if (line !== undefined && (column + line.length < WIDTH || typeof value !== 'object')) return line;
  if (typeof value !== 'object' || value instanceof Expression) return line ?? '';
  const inner = `${indent}  `;
  if (isList(value)) {
    const items = value.map((item) => `${inner}${sourceOf(item, inner)},`);
    return ['[', ...items, `${indent}]`].join('\n');
  }
  const members = membersOf(value).flatMap((member) => memberLines(member, inner));
  return ['{', ...members, `${indent}}`].join('\n');
}

/** A call of a plugin's factory, such as `jwt({ … })`. */
export function call(factory: string, options: Value | undefined, indent = '  '): Expression {
  const column = indent.length + factory.length + 1;
  return new Expression(
    `${factory}(${options === undefined ? '' : sourceOf(options, `${indent}  `, column)})`,
  );
}
