/** Entries as plain values, for operators. */
import type { ResolvedDatabase } from '../config/resolved.ts';
import type { Usage } from '../connection/usage.ts';
import { hostsOf } from '../contract/database.ts';
import type { EntryReading, EntrySettings } from '../contract/overview.ts';
import { limitsOf } from '../upstream/pool/limits.ts';
import type { EntryView } from './overview.ts';

function settingsOf(database: ResolvedDatabase): EntrySettings {
  const { pool, login } = database;
  const { mostSessions, lifetimeMs } = limitsOf(pool);
  const choose = pool.mode === 'transaction' && pool.clientMode === 'choose';
  return {
    hosts: hostsOf(database),
    database: database.database,
    loginRole: login.kind === 'set-role' ? login.user : undefined,
    mode: pool.mode,
    clientMode: pool.clientMode,
    size: pool.size,
    perRole: pool.perRole,
    mostSessions: choose ? mostSessions : undefined,
    min: pool.min,
    reserve: pool.reserve,
    maxLifetimeMs: lifetimeMs,
  };
}

/** Of an entry; `usages` are those of its sessions. */
export function entryReading({ database, ...entry }: EntryView, usages: readonly Usage[]): EntryReading {
  return {
    ...entry,
    settings: database && settingsOf(database),
    sessions: usages.length,
    inSessionMode: usages.filter(({ mode }) => mode === 'session').length,
    waiting: usages.filter(({ waitingSince }) => waitingSince !== undefined).length,
  };
}
