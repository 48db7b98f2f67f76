/** Where `admin` listens. */
import { basename, dirname } from 'node:path';
import type { ResolvedAdmin } from '../config/resolved.ts';
import type { Place } from '../net/entrance.ts';

/** The place of `admin` of a config. */
export function adminPlaceOf({ host, port, mode }: Pick<ResolvedAdmin, 'host' | 'port' | 'mode'>): Place {
  const file = { path: 'admin', folder: dirname(host), name: basename(host), port: 0 };
  return { what: 'admin', host, port, unixSocket: mode === undefined ? undefined : { ...file, mode } };
}
