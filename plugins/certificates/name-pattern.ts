/** Names that are let in: compared part by part, so that a star never reaches over a `/` or a dot. */
import { badOption, readText } from '../../core/index.ts';
import type { NameKind } from './options.ts';

/** Says whether it means a name. */
export type NamePattern = (name: string) => boolean;

const [ONE, REST] = ['*', '**'];
const SEPARATORS: Readonly<Record<NameKind, string | undefined>> = {
  uri: '/',
  dns: '.',
  commonName: undefined,
  subject: undefined,
};

function fits(wanted: readonly string[], parts: readonly string[]): boolean {
  const open = wanted.at(-1) === REST;
  const fixed = open ? wanted.slice(0, -1) : wanted;
  if (open ? parts.length <= fixed.length : parts.length !== fixed.length) return false;
  // A part without characters is what `*` does not stand for.
  return (
    fixed.every((part, place) => (part === ONE ? parts[place] !== '' : part === parts[place])) &&
    (!open || parts.slice(fixed.length).every((part) => part !== ''))
  );
}

/** How many parts of a URI have to be written out: its scheme, the empty one behind it, and the host. */
const FIXED_PARTS = 3;

function checkStars(path: string, kind: NameKind, parts: readonly string[]): void {
  const strange = parts.find((part) => part.includes('*') && part !== ONE && part !== REST);
  if (strange !== undefined) badOption(path, `"${strange}": * stands for a whole part`);
  if (parts.slice(0, -1).includes(REST) || (parts.includes(REST) && kind !== 'uri'))
    badOption(path, '** stands at the end of a URI');
  if (kind === 'uri' && parts.slice(0, FIXED_PARTS).some((part) => part.includes('*')))
    badOption(path, 'scheme and host of a URI have to be written out');
  if (kind === 'dns' && parts.every((part) => part === ONE))
    badOption(path, 'some label has to be written out');
  if (kind === 'subject' && parts.includes(ONE)) badOption(path, 'a whole distinguished name is needed');
}

/** Reads a name or a pattern. @throws ConfigError */
export function readName(path: string, value: unknown, kind: NameKind): NamePattern {
  const text = readText(path, value, 'a name');
  const wanted = kind === 'dns' ? text.toLowerCase() : text;
  const separator = SEPARATORS[kind];
  const parts = separator === undefined ? [wanted] : wanted.split(separator);
  if (kind !== 'subject' || wanted === ONE) checkStars(path, kind, parts);
  if (kind === 'subject') return (name) => name === wanted;
  if (kind === 'commonName') return (name) => wanted === ONE || name === wanted;
  return (name) => fits(parts, name.split(separator ?? ''));
}
