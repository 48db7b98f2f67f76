/** A program for embedded.test.ts: starts a server, says where, and waits to be killed. */
import { startEmbedded } from './embedded/server.ts';

const server = await startEmbedded();
console.log(JSON.stringify({ pid: server.pid, folder: server.socketDir }));
setInterval(() => undefined, 1_000);
