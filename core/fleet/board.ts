/** A board of the fleet in one instance: follows the store's log, and has the store make this instance's changes. */
import type { FleetBoardCopy, FleetBoardHome } from '../workers/fleet-member.ts';
import type { BoardEntry } from '../workers/messages.ts';
import { BoardVersions } from './board-versions.ts';
import type { Restored } from './board-versions.ts';
import { inTime, LATE, pause } from './parts.ts';
import type { MemberParts } from './parts.ts';
import { Progress } from './progress.ts';
import type { Beat, LoggedChange, StoredChange } from './store.ts';
import type { DatedChange, ReadChange } from './texts.ts';
import { Unconfirmed } from './unconfirmed.ts';

/** A change that the store has and that was not read for so long, in milliseconds, is looked for. */
const READ_MS = 300;
/** One instance at a time puts again what the store has lost; others look whether anything is missing after so long. */
const RESTORED_MS = 1_000;
/** So many changes are sent at once. */
const AT_ONCE = 200;

/** What an instance has to do with the store: nothing, read all, or read all and put again what the store has lost. */
type Behind = 'not' | 'gap' | 'lost';

interface BoardParts extends MemberParts {
  /** Asks the store whether it has lost anything: then {@link FleetBoard.catchUp} is called before this resolves. */
  readonly beat: () => Promise<Beat>;
  /** Has the reading that waits now begin anew: it does not know of this board. */
  readonly wake: () => void;
}

/** One per name. */
export class FleetBoard implements FleetBoardHome {
  readonly name: string;
  readonly #parts: BoardParts;
  readonly #copy: FleetBoardCopy;
  readonly #versions: BoardVersions;
  readonly #unconfirmed = new Unconfirmed();
  #behind: Behind = 'gap';
  #reading: Promise<void> | undefined;
  #restoring: Promise<unknown> | undefined;
  /** Up to where the log was read. */
  readonly #read = new Progress();
  /** Up to where all workers have it. */
  readonly #applied = new Progress();
  #applying: Promise<unknown> = Promise.resolve();
  /** How often the log has begun anew. */
  #logs = 0;
  /** How often the store is known to have lost changes. */
  #losses = 0;
  /** Changes of which the store was told in vain. */
  readonly #failed = new Map<string, StoredChange>();

  constructor(name: string, copy: FleetBoardCopy, parts: BoardParts) {
    this.name = name;
    this.#copy = copy;
    this.#parts = parts;
    this.#versions = new BoardVersions(parts.clock);
  }

  /** Where to read on; undefined: all is read anew. */
  get position(): number | undefined {
    return this.#behind === 'not' ? this.#read.value : undefined;
  }

  async change(entry: BoardEntry, expected: string | null | undefined): Promise<boolean> {
    if (expected !== undefined) return this.#changeWhere(entry, expected);
    const dated = this.#versions.dated(entry);
    this.#versions.set(dated);
    const applied = this.#copy.apply(entry);
    const change = this.#parts.texts.change(this.name, dated);
    const told = this.#unconfirmed.begin(entry.id, change.text);
    void this.#tell(entry.id, change);
    await inTime(this.#parts.timers, this.#parts.timeoutMs, told);
    await applied;
    return true;
  }

  /** Changes that came behind {@link position}. */
  hear(changes: readonly LoggedChange[]): void {
    if (this.#behind !== 'not') return;
    const applied: Promise<void>[] = [];
    let read = this.#read.value;
    for (const change of changes.filter(({ seq }) => seq > read)) {
      if (change.seq > read + 1) {
        void this.catchUp('gap').catch(() => undefined);
        break;
      }
      read = change.seq;
      const known = this.#parts.texts.readChange(this.name, change);
      if (known && this.#unconfirmed.admits(read, change.text, known)) applied.push(this.#hearOne(known));
    }
    this.#appliedUpTo(read, applied);
  }

  /** The store has said how far its log is, when it was read up to `read` here. Resolves once it is read so far. @throws Error where the store does not answer */
  async follow(latest: number, read: number): Promise<void> {
    if (latest < read) return this.catchUp('lost');
    if (this.#behind !== 'not') return this.#reading ?? this.catchUp(this.#behind);
    const come = await inTime(this.#parts.timers, READ_MS, this.#read.reaches(latest));
    if (come === LATE) await this.catchUp('gap');
  }

  /** Resolves when all workers of this instance have what the log has up to there. @throws Error where the store does not answer */
  async reaches(seq: number): Promise<void> {
    await this.follow(seq, 0);
    await this.#applied.reaches(seq);
  }

  /** Resolves when the store has all changes of this instance. @throws Error where it does not answer in time */
  async told(withinMs: number): Promise<void> {
    const { timers } = this.#parts;
    const told = await inTime(timers, withinMs, this.#unconfirmed.all());
    if (told === LATE) throw new Error('the store of the fleet does not answer');
  }

  /** False: the store has lost changes that are known here, and may not have them again. */
  get isWhole(): boolean {
    return this.#behind === 'not' && this.#restoring === undefined;
  }

  /** Resolves when the store has again what it is known to have lost. @throws Error where it does not answer */
  async whole(): Promise<void> {
    while (!this.isWhole) {
      if (this.#behind !== 'not') await (this.#reading ?? this.catchUp(this.#behind));
      await this.#restoring;
    }
  }

  /** The store answers again: it is told what it has not heard. */
  tellAgain(): void {
    const told: Promise<boolean>[] = [];
    for (const [id, change] of [...this.#failed].slice(0, AT_ONCE)) {
      this.#failed.delete(id);
      if (this.#unconfirmed.waits(id, change.text)) told.push(this.#tell(id, change));
    }
    if (this.#failed.size > 0) void Promise.all(told).then((had) => had.every(Boolean) && this.tellAgain());
  }

  /** Reads all values anew. Shared by all who want it. @throws Error where the store does not answer: {@link follow} tries it again */
  catchUp(behind: Exclude<Behind, 'not'>): Promise<void> {
    if (this.#behind !== 'lost') this.#behind = behind;
    if (behind === 'lost') this.#losses += 1;
    this.#reading ??= this.#readAll().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #changeWhere(entry: BoardEntry, expected: string | null): Promise<boolean> {
    const { store, texts, timers, timeoutMs } = this.#parts;
    if (this.#unconfirmed.has(entry.id)) await this.told(timeoutMs);
    const tag = expected === null ? null : texts.tag(this.name, entry.id, expected);
    const change = texts.change(this.name, this.#versions.dated(entry));
    const seq = await store.change(this.name, change, tag);
    if (seq !== undefined) await this.reaches(seq);
    else
      await inTime(
        timers,
        timeoutMs,
        this.#reachesLatest().catch(() => undefined),
      );
    return seq !== undefined;
  }

  /** Whoever hears that a change was refused finds the value here that was in its way. @throws Error where the store does not answer */
  async #reachesLatest(): Promise<void> {
    const { latest } = await this.#parts.beat();
    await this.reaches(latest[this.name] ?? 0);
  }

  /** Whether the store has it. */
  async #tell(id: string, change: StoredChange): Promise<boolean> {
    const seq = await this.#parts.store.change(this.name, change, undefined).catch(() => undefined);
    if (seq === undefined) {
      this.#failed.set(id, change);
      return false;
    }
    const later = this.#unconfirmed.told(id, change.text, seq, this.#read.value);
    if (later) this.#appliedUpTo(this.#read.value, [this.#hearOne(later)]);
    return true;
  }

  #hearOne(change: ReadChange): Promise<void> {
    const later = change.again ? this.#versions.later(change, this.#copy.entries) : undefined;
    if (!later) return this.#apply(change);
    this.#restore([later]);
    return Promise.resolve();
  }

  #apply(change: DatedChange): Promise<void> {
    this.#versions.set(change);
    return this.#copy.apply(change.entry);
  }

  /** Changes come into force in order: a place counts once all before it are. */
  #appliedUpTo(read: number, applied: readonly Promise<void>[]): void {
    const logs = this.#logs;
    this.#read.raise(read);
    const all = Promise.allSettled([this.#applying, ...applied]);
    this.#applying = all.then(() => {
      if (logs === this.#logs) this.#applied.raise(read);
    });
  }

  async #readAll(): Promise<void> {
    const losses = this.#losses;
    const { seq, entries } = await this.#parts.store.snapshot(this.name);
    // What was dropped is told from what was lost only where the store is known to be the same as before.
    if (this.#behind === 'gap' && this.#copy.entries.length > 0) await this.#parts.beat();
    // It may have been of the time before the loss.
    if (losses !== this.#losses) return this.#readAll();
    const lost = this.#behind === 'lost' || seq < this.#read.value;
    const stored = entries.flatMap((entry) => this.#parts.texts.readChange(this.name, entry) ?? []);
    const own = this.#unconfirmed.readAnew(seq, lost);
    const merged = this.#versions.merge(stored, this.#copy.entries, own, lost);
    if (lost) this.#beginLog(seq);
    this.#behind = 'not';
    this.#parts.wake();
    this.#appliedUpTo(seq, merged.changed ? [this.#copy.replace(merged.entries)] : []);
    if (merged.restored.length > 0) this.#restore(merged.restored);
  }

  #beginLog(last: number): void {
    this.#logs += 1;
    this.#read.lower(Math.min(this.#read.value, last), last);
    this.#applied.lower(0, last);
  }

  #restore(restored: readonly Restored[]): void {
    const restoring = Promise.all([this.#restoring, this.#putBack(restored)]).finally(() => {
      if (this.#restoring === restoring) this.#restoring = undefined;
    });
    this.#restoring = restoring;
  }

  /** Puts again what the store has lost: where others are at it, looks again later. Never rejects. */
  async #putBack(restored: readonly Restored[]): Promise<void> {
    const { id, store, timers } = this.#parts;
    const task = `restore ${this.name}`;
    try {
      if (await store.lock(task, id, 5 * RESTORED_MS)) {
        for (let at = 0; at < restored.length; at += AT_ONCE)
          await Promise.all(restored.slice(at, at + AT_ONCE).map((one) => this.#putAgain(one)));
        return await store.unlock(task, id);
      }
    } catch {
      // It is away again: what it lacks is found anew.
    }
    await pause(timers, RESTORED_MS);
    return this.catchUp('lost').catch(() => undefined);
  }

  /** Only where nobody has changed it since. */
  async #putAgain({ change, tag }: Restored): Promise<void> {
    await this.#parts.store.change(
      this.name,
      this.#parts.texts.change(this.name, { ...change, again: true }),
      tag,
    );
  }
}
