/** The thread of {@link OrphanWatch}: kills its process when the parent is gone and the event loop has stood still for ten seconds. */
import { workerData } from 'node:worker_threads';
import type { Watched } from './orphan-watch.ts';

/** How often it looks, in milliseconds. */
const LOOK_MS = 500;
/** So many looks in a row: as long as a parent waits for a worker that hangs. */
const HANGS = 20;

const { turns, parent } = workerData as Watched;
let last = 0;
let still = 0;

setInterval(() => {
  const now = Atomics.load(turns, 0);
  still = now === last && process.ppid !== parent ? still + 1 : 0;
  last = now;
  if (still >= HANGS) process.kill(process.pid, 'SIGKILL');
}, LOOK_MS);
