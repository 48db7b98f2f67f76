/** JSON from strangers: depth is bounded before it is parsed, and no name may come twice in one object. */
import { TokenRefused } from './refusal.ts';

/** Index behind the string that starts at `start`; the text's length if it never ends. */
function endOfString(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    if (text[at] === '\\') at++;
    else if (text[at] === '"') return at + 1;
  }
  return text.length;
}

function isFollowedByColon(text: string, from: number): boolean {
  let at = from;
  while (text[at] === ' ' || text[at] === '\t' || text[at] === '\n' || text[at] === '\r') at++;
  return text[at] === ':';
}

/** Walks once over the text, which need not be valid JSON: nothing here recurses or looks back. */
function checkShape(text: string, maxDepth: number): void {
  const open: Set<unknown>[] = [];
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (character === '{' || character === '[') {
      if (open.push(new Set()) > maxDepth) throw new TokenRefused('JSON is nested too deeply');
    } else if (character === '}' || character === ']') {
      open.pop();
    } else if (character === '"') {
      const end = endOfString(text, at);
      if (isFollowedByColon(text, end)) noteName(open.at(-1), text.slice(at, end));
      at = end - 1;
    }
  }
}

function noteName(names: Set<unknown> | undefined, literal: string): void {
  // Two spellings of one name are the same name: parsers that keep the first and the last would disagree.
  const name: unknown = JSON.parse(literal);
  if (names?.has(name)) throw new TokenRefused('a JSON name comes twice (RFC 7519, section 4)');
  names?.add(name);
}

function parse(bytes: Uint8Array, maxDepth: number): unknown {
  // A byte order mark stays in the text, where JSON.parse refuses it.
  const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  checkShape(text, maxDepth);
  return JSON.parse(text);
}

/**
 * Parses a JSON object of at most `maxDepth` levels.
 * @throws TokenRefused for anything else; its message never quotes the text
 */
export function parseBounded(bytes: Uint8Array, maxDepth: number): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = parse(bytes, maxDepth);
  } catch (error) {
    throw error instanceof TokenRefused ? error : new TokenRefused('not JSON in UTF-8');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TokenRefused('not a JSON object');
  }
  return value as Readonly<Record<string, unknown>>;
}
