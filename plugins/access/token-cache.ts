/** Tokens that were granted, in files of the user's cache folder that nobody else can read, until they are about to expire. */
import { createHash, randomBytes } from 'node:crypto';
import { chmod, mkdir, open, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';

/** What a gateway has granted, as far as a client needs it. */
export interface CachedGrant {
  readonly token: string;
  /** Where to connect, without the token. */
  readonly uri: string;
  /** ISO 8601. */
  readonly expiresAt: string;
}

/** One that expires sooner is asked for anew, in milliseconds: a login takes its time. */
const SPARE_MS = 30_000;
const OTHERS = 0o077;

/** As the XDG Base Directory Specification says, or where macOS keeps caches. */
function folder(): string {
  const base = process.env['XDG_CACHE_HOME'] ?? '';
  if (path.isAbsolute(base)) return path.join(base, 'postern');
  const mac = process.platform === 'darwin';
  return path.join(homedir(), ...(mac ? ['Library', 'Caches'] : ['.cache']), 'postern');
}

/** Whether an answer has what is needed of it. */
export function isGrant(value: unknown): value is CachedGrant {
  const { token, uri, expiresAt } = (value ?? {}) as Readonly<Record<string, unknown>>;
  return [token, uri, expiresAt].every((one) => typeof one === 'string' && one !== '');
}

/** One file, by all that makes a difference. */
export class TokenCache {
  readonly #file: string;

  /** @param about plain data; who asks is part of it, so that nobody finds another's */
  constructor(about: unknown) {
    const name = createHash('sha256').update(JSON.stringify(about)).digest('hex');
    this.#file = path.join(folder(), `${name}.json`);
  }

  /** Undefined where there is none, or none that is good for a while, or one that others could have read. Never rejects. */
  async find(): Promise<CachedGrant | undefined> {
    try {
      const grant: unknown = JSON.parse(await this.#read());
      if (!isGrant(grant)) return undefined;
      if (Date.parse(grant.expiresAt) - SPARE_MS > Date.now()) return grant;
    } catch {
      return undefined;
    }
    await rm(this.#file, { force: true });
    return undefined;
  }

  /** @throws Error if it cannot be written */
  async save({ token, uri, expiresAt }: CachedGrant): Promise<void> {
    const place = path.dirname(this.#file);
    await mkdir(place, { recursive: true, mode: 0o700 });
    await chmod(place, 0o700);
    const beside = `${this.#file}.${randomBytes(6).toString('hex')}.new`;
    await writeFile(beside, JSON.stringify({ token, uri, expiresAt }), { mode: 0o600, flag: 'wx' });
    await rename(beside, this.#file);
  }

  async #read(): Promise<string> {
    const handle = await open(this.#file, 'r');
    try {
      const { mode, uid } = await handle.stat();
      const me = process.getuid?.();
      if (me !== undefined && (uid !== me || (mode & OTHERS) !== 0)) throw new Error('not ours alone');
      return await handle.readFile('utf8');
    } finally {
      await handle.close();
    }
  }
}
