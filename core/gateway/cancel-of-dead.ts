/** Cancels what connections of a dead worker run, for the parent process: it has neither the config nor its TLS. */
import type { ResolvedConfig } from '../config/resolved.ts';
import type { ServerProcess } from '../upstream/pool/connection-slots.ts';
import { cancel } from '../upstream/cancel.ts';
import type { Pools } from './pools.ts';
import { entryOfKey } from './slot-key.ts';

/** How long a CancelRequest may take, in milliseconds: another worker is asked after that. */
const CANCEL_MS = 1_500;

/** Where an entry is looked for: in a pool, also of a former config, else in the config in force. */
interface Known {
  readonly pools: Pick<Pools, 'everyOne'>;
  readonly config: () => Pick<ResolvedConfig, 'database'>;
}

/** Sends one with the TLS of the entry; false if it was not delivered. */
export function cancelOfDead({ pools, config }: Known) {
  return async (pool: string, { host, port, address, pid, secret }: ServerProcess): Promise<boolean> => {
    const entry = entryOfKey(pool);
    const known = pools.everyOne().find((one) => one.entry === entry)?.pool.database;
    const database = known ?? (await config().database(entry));
    if (!database) return false;
    const server = { ...database, host, ...(port !== undefined && { port }) };
    const key = { pid, secret: Buffer.from(secret, 'hex') };
    return cancel({ database: server, address, key, cancelMs: CANCEL_MS, connectMs: CANCEL_MS });
  };
}
