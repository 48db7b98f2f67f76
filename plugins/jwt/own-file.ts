/** Files that nobody but the gateway's user can have written: read only if that is so, written all at once. */
import { randomBytes } from 'node:crypto';
import { open, realpath, rename, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import type { Stats } from 'node:fs';
import path from 'node:path';

const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/** Whether only root, this user, and whoever they let, could have changed it. */
function isOurs({ uid, mode }: Stats, sticky = 0): boolean {
  const me = process.getuid?.();
  if (me === undefined) return true;
  return (uid === me || uid === 0) && ((mode & OTHERS_WRITE) === 0 || (mode & sticky) !== 0);
}

/** Checks a folder and all above it: whoever can write in one can put another in its place. @throws Error that names it */
export async function checkOwnFolder(folder: string): Promise<void> {
  const real = await realpath(folder);
  if (!isOurs(await stat(real))) throw new Error(`others can write to ${real}`);
  for (let above = path.dirname(real); ; above = path.dirname(above)) {
    // In a sticky folder such as /tmp others can only remove what is theirs.
    if (!isOurs(await stat(above), STICKY)) throw new Error(`others can write to ${above}`);
    if (above === path.dirname(above)) return;
  }
}

/**
 * Reads a file of ours, and undefined where there is none.
 * @throws Error if others can write to it, or to a folder above, or if it is longer than `most` bytes
 */
export async function readOwnFile(file: string, most: number): Promise<string | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(await realpath(file), 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) throw new Error(`${file} is not a file`);
    if (!isOurs(stats)) throw new Error(`others can write to ${file}`);
    await checkOwnFolder(path.dirname(await realpath(file)));
    if (stats.size > most) throw new Error(`${file} is longer than ${most} bytes`);
    return await handle.readFile('utf8');
  } finally {
    await handle.close();
  }
}

async function synced(
  name: string,
  flags: string,
  work?: (handle: FileHandle) => Promise<unknown>,
): Promise<void> {
  const handle = await open(name, flags, 0o600);
  try {
    await work?.(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Puts a file of mode 0600 in the place of the old one, on disk when it resolves: after a crash one of the two is there. */
export async function writeOwnFile(file: string, text: string): Promise<void> {
  const beside = `${file}.${randomBytes(6).toString('hex')}.new`;
  try {
    await synced(beside, 'wx', (handle) => handle.writeFile(text));
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
  // The name is kept by the folder.
  await synced(path.dirname(file), 'r');
}

/** Adds text to a file of mode 0600; on disk when it resolves. */
export function appendOwnFile(file: string, text: string): Promise<void> {
  return synced(file, 'a', (handle) => handle.appendFile(text));
}
