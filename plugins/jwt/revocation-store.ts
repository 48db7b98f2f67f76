/** Where revocations outlive the process: implement it to share them between gateways. */
import type { Revocation } from './revocation.ts';

/** What somebody else, sharing the store, has done. */
export type RevocationChange = { readonly added: Revocation } | { readonly removed: string };

/** A place for revocations. Every method may be called while another is under way. */
export interface RevocationStore {
  /** All that are in force. Called at the start, and after `watch` said that something was missed. @throws Error if it cannot tell */
  load(): Promise<readonly Revocation[]>;
  /** Resolves when it is kept. Adding what is there changes nothing. @throws Error */
  add(revocation: Revocation): Promise<void>;
  /** Forgets it. @throws Error */
  remove(id: string): Promise<void>;
  /** Tells what others do, and `'missed'` after a time without contact. The function that it returns ends that. */
  watch?(hear: (change: RevocationChange | 'missed') => void): () => void;
}
