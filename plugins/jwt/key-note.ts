/** What `/readyz?verbose` says of an issuer's keys: how many and how old, and whether they had better be newer. */
import type { KeySetReading } from '../../core/index.ts';

/** One sentence without an end. */
export function keyNote({ issuer, keys, ageMs, kept, fromDisk = false }: KeySetReading): string {
  const many = `${keys} ${keys === 1 ? 'key' : 'keys'}`;
  if (ageMs === undefined) return `${issuer}: ${many} of the config`;
  const old = `${many}, ${Math.round(ageMs / 1_000)} s old`;
  const where = fromDisk ? 'kept on disk' : 'kept';
  if (kept !== undefined) return `${issuer}: ${old}, ${where}, since the issuer does not answer: ${kept}`;
  return fromDisk ? `${issuer}: ${old}, ${where}, until the issuer has answered` : `${issuer}: ${old}`;
}
