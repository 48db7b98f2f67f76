/** Files that several processes may make and remove at the same time: each step is one call of the system that one of them wins. */
import { randomBytes } from 'node:crypto';
import { linkSync, lstatSync, renameSync, unlinkSync } from 'node:fs';

/** What a file system without hard links says. */
const NO_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']);

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? '';

/** Seven characters that no other process has. */
export const unique = (): string => randomBytes(5).toString('base64url');

/** Tells a file from one that has its name later; with its time, because inode numbers are used again. Undefined: there is none. */
export function identityOf(file: string): string | undefined {
  const found = lstatSync(file, { bigint: true, throwIfNoEntry: false });
  return found && `${found.dev}:${found.ino}:${found.mtimeNs}`;
}

/** Gives a file another name unless that is taken. @returns whether it has it */
export function moveToFree(from: string, to: string): boolean {
  try {
    linkSync(from, to);
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    if (!NO_LINKS.has(codeOf(error))) throw error;
    if (identityOf(to) !== undefined) return false;
    renameSync(from, to);
    return true;
  }
  unlinkSync(from);
  return true;
}

/**
 * Removes this very file and no successor of its name. Between a look and an unlink another process may put its own file there, so the file
 * is renamed first: of two processes one has it, and looks at what it has. A successor gets its name back.
 */
export function removeExactly(file: string, identity: string): void {
  if (identityOf(file) !== identity) return;
  const aside = `${file}.${unique()}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return;
    throw error;
  }
  if (identityOf(aside) === identity || !moveToFree(aside, file)) unlinkSync(aside);
}
