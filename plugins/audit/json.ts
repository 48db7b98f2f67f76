/** Members of JSON objects as text: built once where they are the same in many lines. */

/** What JSON leaves as it is, and terminals and readers of lines obey: DEL and C1, line separators, directions. */
const OBEYED = /[\u007f-\u009f\u2028\u2029\p{Bidi_Control}]/gu;

/** Most texts have none of them, which is quickly seen. */
const UNUSUAL = /[\u007f-\uffff]/;

/** JSON in which no character breaks a line or moves a cursor. */
export function json(value: unknown): string {
  const text = JSON.stringify(value);
  if (!UNUSUAL.test(text)) return text;
  return text.replace(OBEYED, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** `"a":1,"b":2` of an object, those that are undefined left out; never with braces. */
export function members(object: Readonly<Record<string, unknown>>): string {
  return json(object).slice(1, -1);
}
