/** What tells one state of a file from another, wherever files are read again. */
import { stat } from 'node:fs/promises';

/** The version of a file that is not there, or may not be looked at. */
export const NO_FILE = 'none';

/**
 * Changes whenever the file does. Links are followed, so that a link to a new file counts. Programs that copy a file may keep its
 * mtime and its size: none sets a ctime, which changes with the file's mode as well.
 */
export async function fileVersion(file: string): Promise<string> {
  try {
    const { ino, size, mtimeMs, ctimeMs } = await stat(file);
    return `${ino}:${size}:${mtimeMs}:${ctimeMs}`;
  } catch {
    return NO_FILE;
  }
}
