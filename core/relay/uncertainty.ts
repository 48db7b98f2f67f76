/**
 * A COPY FROM STDIN failed with Syncs in flight before its end. Whether it ate them (a bad row comes after them) or the
 * server answers them (a view fails before anything is read) cannot be told from the bytes: of k such Syncs, 0 to k are
 * answered. Until a probe tells, messages only pass.
 */
import { randomBytes } from 'node:crypto';
import { Backend } from '../wire/frames.ts';
import { SYNC, encodeClose } from '../wire/to-server.ts';
import { Op, lose } from './entries.ts';
import type { Note } from './entries.ts';
import { Verdict } from './verdict.ts';

/** What to do with a message of the server meanwhile; `settled`: the uncertainty is over. */
export type BlindVerdict = 'pass' | 'hide' | 'settled' | 'broken';

/** The same as a verdict for the relay. */
export const BLIND: Readonly<Record<BlindVerdict, Verdict>> = {
  pass: Verdict.pass,
  hide: Verdict.hide,
  settled: Verdict.hide,
  broken: Verdict.broken,
};

/** From the error of the COPY to the probe's answer, or to the end of the session. */
export class Uncertainty {
  /** The client's last message is a Sync, so that another Sync changes nothing. True at first if the COPY was a Query. */
  #synced: boolean;
  /** Another COPY may have begun, which would take the probe for its data, or a Close has the probe's own answer. */
  #risky = false;
  #probe: 'no' | 'close' | 'sync' = 'no';
  /** Statements were named whose Parse may have come too late. */
  #named = false;
  #prepared = false;

  /** `skips`: the server discards everything up to a Sync, as the COPY was an Execute. */
  constructor(skips: boolean) {
    this.#synced = !skips;
  }

  /** True when a probe would end the uncertainty: pause the client, and send {@link probe}. */
  get wantsProbe(): boolean {
    return this.#probe === 'no' && !this.#risky && this.#synced;
  }

  /** The server has prepared a statement, and it is not known which: the client may use a name that was removed here. */
  get prepared(): boolean {
    return this.#prepared;
  }

  get probing(): boolean {
    return this.#probe !== 'no';
  }

  /** The probe to send now: it closes a name that no statement has, and its answer shows where the client's answers end. */
  probe(): Buffer {
    this.#probe = 'close';
    return Buffer.concat([encodeClose('S', `postern_${randomBytes(16).toString('hex')}`), SYNC]);
  }

  /** The client's next message. Only messages behind the end of the failed COPY are given here: their Syncs are answered. */
  sent(op: number, note?: Note): void {
    lose(note);
    this.#named ||= note?.names === true;
    this.#synced = op === Op.sync || (this.#synced && op === Op.copyEnd);
    this.#risky ||= op === Op.query || op === Op.execute || op === Op.functionCall || op === Op.close;
  }

  /** A message of the server other than an error: every ReadyForQuery before the probe's CloseComplete is the client's. */
  reply(type: number): BlindVerdict {
    if (this.#probe === 'close' && type === Backend.closeComplete) {
      this.#probe = 'sync';
      return 'hide';
    }
    this.#prepared ||= this.#named && type === Backend.parseComplete;
    if (this.#probe !== 'sync') return 'pass';
    return type === Backend.readyForQuery ? 'settled' : 'broken';
  }

  /** An error that is not FATAL: hidden if it is the probe's. */
  error(): BlindVerdict {
    return this.#probe === 'sync' ? 'hide' : 'pass';
  }
}
