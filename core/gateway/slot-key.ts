/** The name under which all workers share the connections of a pool. */
import { createHash } from 'node:crypto';

/** Equal in all workers for equal entries. The text of the entry holds passwords, so there is a digest of it. */
export function slotKey(
  entry: string,
  text: string,
  what: 'connections' | 'sessions' = 'connections',
): string {
  return JSON.stringify([entry, createHash('sha256').update(text).digest('base64'), what]);
}

/** The entry in a key. @throws SyntaxError for a text that is none */
export function entryOfKey(key: string): string {
  const parts: unknown = JSON.parse(key);
  return Array.isArray(parts) ? String(parts[0]) : '';
}
