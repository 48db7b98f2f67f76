/** Revocations of one gateway process in a file: JSON lines that are added to, and written anew when many are over. */
import { access, constants, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { appendOwnFile, checkOwnFolder, readOwnFile, writeOwnFile } from './own-file.ts';
import { NotARevocation, parseTarget, revocationId } from './revocation.ts';
import type { Revocation } from './revocation.ts';
import type { RevocationStore } from './revocation-store.ts';

/** Largest file, in bytes. */
const MAX_BYTES = 268_435_456;
/** So many lines may be of no use any more before the file is written anew. */
const DEAD_LINES = 1_000;

const lineOf = (content: Revocation | { readonly removed: string }): string => `${JSON.stringify(content)}\n`;

/** One line: a revocation, or the id of one that is taken back. @throws Error */
function parseLine(line: string): Revocation | string {
  const { removed, what, at, until } = JSON.parse(line) as Record<string, unknown>;
  if (typeof removed === 'string') return removed;
  if (typeof at !== 'number' || typeof until !== 'number') throw new NotARevocation('at or until is missing');
  const target = parseTarget(what);
  return { id: revocationId(target), what: target, at, until };
}

/** One process at a time may use the file. */
export class RevocationFile implements RevocationStore {
  readonly #file: string;
  readonly #known = new Map<string, Revocation>();
  #lines = 0;
  /** The end of the file may be half a line. */
  #torn = false;
  #loaded = false;
  #turn: Promise<unknown> = Promise.resolve();

  /** `file` is an absolute path. */
  constructor(file: string) {
    this.#file = file;
  }

  /** Makes the folder where there is none. @throws Error if others can write to it, or a line cannot be read */
  load(): Promise<readonly Revocation[]> {
    return this.#inTurn(async () => {
      await this.#readAll();
      // Also shows at the start, and not at the first revocation, that the file can be written.
      await this.#writeAnew();
      this.#loaded = true;
      return [...this.#known.values()];
    });
  }

  /** Reads a file that another process writes. @throws Error as {@link load} does */
  look(): Promise<readonly Revocation[]> {
    return this.#inTurn(async () => {
      await this.#readAll();
      await access(path.dirname(this.#file), constants.W_OK);
      return [...this.#known.values()];
    });
  }

  /** What is kept already, word for word, is not written again. */
  add(revocation: Revocation): Promise<void> {
    const line = lineOf(revocation);
    const isKept = (known = this.#known.get(revocation.id)): boolean => !!known && lineOf(known) === line;
    return this.#change(line, isKept, () => this.#known.set(revocation.id, revocation));
  }

  remove(id: string): Promise<void> {
    const isKept = (): boolean => !this.#known.has(id);
    return this.#change(lineOf({ removed: id }), isKept, () => this.#known.delete(id));
  }

  async #readAll(): Promise<void> {
    this.#known.clear();
    await mkdir(path.dirname(this.#file), { recursive: true, mode: 0o700 });
    await checkOwnFolder(path.dirname(this.#file));
    const text = (await readOwnFile(this.#file, MAX_BYTES)) ?? '';
    this.#read(text.split('\n'));
  }

  /** The last element is empty, or half a line that a crash left: nobody was told that it is kept. */
  #read(lines: readonly string[]): void {
    for (const [index, line] of lines.slice(0, -1).entries()) {
      try {
        const content = parseLine(line);
        if (typeof content === 'string') this.#known.delete(content);
        else this.#known.set(content.id, content);
      } catch {
        throw new Error(`${this.#file}: line ${index + 1} is not a revocation`);
      }
    }
  }

  #change(line: string, isKept: () => boolean, note: () => unknown): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#loaded) throw new Error(`${this.#file} has not been read`);
      // What is noted behind a write that failed is not in the file yet.
      if (!this.#torn && isKept()) return;
      note();
      if (this.#torn || this.#lines > this.#known.size + DEAD_LINES) {
        await this.#writeAnew();
        return;
      }
      this.#torn = true;
      await appendOwnFile(this.#file, line);
      this.#torn = false;
      this.#lines += 1;
    });
  }

  async #writeAnew(): Promise<void> {
    const now = Date.now();
    for (const { id, until } of this.#known.values()) if (until <= now) this.#known.delete(id);
    await writeOwnFile(this.#file, [...this.#known.values()].map(lineOf).join(''));
    this.#lines = this.#known.size;
    this.#torn = false;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#turn.then(work);
    this.#turn = done.catch(() => {});
    return done;
  }
}
