/** Bodies of requests, bounded before they are parsed. */
import { milliseconds } from '../../core/index.ts';
import type { Asked } from './decision.ts';
import { Refused } from './refused.ts';

/** Longest body, in bytes: a token of the longest kind, in a form, fits. */
const LONGEST_BODY = 131_072;
/** Longest reason and names, in characters. */
const LONGEST_TEXT = 500;

/** The body as text. @throws Refused 413 if it is too long */
export async function bodyText(request: Request): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of request.body ?? []) {
    const bytes = chunk as Uint8Array;
    length += bytes.length;
    if (length > LONGEST_BODY) throw new Refused('request', 'the body is too long', { status: 413 });
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString();
}

const NAMES = ['database', 'role', 'duration', 'reason'] as const;

function bad(why: string): never {
  throw new Refused('request', why);
}

function textOf(name: string, value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string' || value.trim() === '') return bad(`${name} is not a text`);
  if (value.length > LONGEST_TEXT) return bad(`${name} is longer than ${LONGEST_TEXT} characters`);
  return /[\p{Cc}\p{Cs}]/u.test(value) ? bad(`${name} has control characters`) : value;
}

function durationOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    const ms = milliseconds(text);
    if (ms >= 1_000 && Number.isFinite(ms)) return Math.floor(ms);
  } catch {
    // ConfigError: its message is written for a config file.
  }
  return bad("duration is not a duration of at least a second, such as '15m'");
}

/** What these members ask for. @throws Refused that names the wrong one */
export function askedOf(given: Readonly<Record<string, unknown>>): Asked {
  const { database, role, duration, reason } = Object.fromEntries(
    NAMES.map((name) => [name, textOf(name, given[name])]),
  );
  if (database === undefined) return bad('database is missing');
  return { database, role, durationMs: durationOf(duration), reason };
}

/** What the JSON object asks for. @throws Refused */
export function askedByJson(text: string): Asked {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return bad('the body is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return bad('the body is no JSON object');
  const stranger = Object.keys(value).find((name) => !(NAMES as readonly string[]).includes(name));
  if (stranger !== undefined) bad(`the body is made of ${NAMES.join(', ')} only`);
  return askedOf(value as Readonly<Record<string, unknown>>);
}
