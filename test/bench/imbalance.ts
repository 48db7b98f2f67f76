/** How evenly the processes of a peer share sessions and transactions. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { BenchClient, SELECT_1 } from './client.ts';
import { childrenOf } from './cost.ts';
import type { Peer } from './peer.ts';
import type { Figures } from './table.ts';

const CLIENTS = { stay: 16, open: 8 };

/** Its fields, as proc_net_tcp.txt of the kernel numbers them. */
const [LOCAL, REMOTE, INODE] = [1, 2, 9];

const portOf = (address: string | undefined): number => Number.parseInt(address?.split(':')[1] ?? '', 16);

/** The inode of a connection from one port of this machine to another. */
function inodeOf(from: number, to: number): string | undefined {
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1);
  const fields = lines.map((line) => line.trim().split(/\s+/));
  return fields.find((line) => portOf(line[LOCAL]) === from && portOf(line[REMOTE]) === to)?.[INODE];
}

function has(pid: number, inode: string): boolean {
  return readdirSync(`/proc/${pid}/fd`).some((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`) === `socket:[${inode}]`;
    } catch {
      // Closed meanwhile.
      return false;
    }
  });
}

/** Whose the server connections are, by their ports: many sessions have the same one after another. */
class Owners {
  readonly #pids: readonly number[];
  readonly #server: number;
  readonly #known = new Map<number, number>();

  constructor(pids: readonly number[], server: number) {
    this.#pids = pids;
    this.#server = server;
  }

  /** The process that serves a client. */
  async of(client: BenchClient): Promise<number> {
    const port = Number(await client.value('select inet_client_port()'));
    const pid = this.#known.get(port) ?? this.#find(port);
    this.#known.set(port, pid);
    return pid;
  }

  #find(port: number): number {
    const inode = inodeOf(port, this.#server);
    const pid = inode === undefined ? undefined : this.#pids.find((one) => has(one, inode));
    if (pid === undefined) throw new Error(`nobody has the server connection of port ${port}`);
    return pid;
  }
}

/** What the busiest has, divided by the mean: 1 is even; of two processes, 2 is all in one. */
export function imbalanceOf(counts: readonly number[]): number {
  const sum = counts.reduce((all, count) => all + count, 0);
  return (Math.max(...counts) * counts.length) / sum;
}

class Counts {
  readonly #by: Map<number, number>;

  constructor(pids: readonly number[]) {
    this.#by = new Map(pids.map((pid) => [pid, 0]));
  }

  add(pid: number, count = 1): void {
    this.#by.set(pid, (this.#by.get(pid) ?? 0) + count);
  }

  get imbalance(): number {
    return imbalanceOf([...this.#by.values()]);
  }
}

/** Sessions that stay, each with one statement after another. */
async function staying(peer: Peer, owners: Owners, pids: readonly number[], ms: number): Promise<Figures> {
  const [sessions, transactions] = [new Counts(pids), new Counts(pids)];
  const clients = await Promise.all(Array.from({ length: CLIENTS.stay }, () => BenchClient.login(peer)));
  const served = await Promise.all(
    clients.map(async (client) => ({ client, owner: await owners.of(client) })),
  );
  const end = performance.now() + ms;
  await Promise.all(
    served.map(async ({ client, owner }) => {
      let count = 0;
      for (; performance.now() < end; count += 1) await client.ask(SELECT_1);
      client.close();
      sessions.add(owner);
      transactions.add(owner, count);
    }),
  );
  return { sessions: sessions.imbalance, transactions: transactions.imbalance };
}

/** Sessions that end after a statement. */
async function opening(peer: Peer, owners: Owners, pids: readonly number[], ms: number): Promise<Figures> {
  const sessions = new Counts(pids);
  const end = performance.now() + ms;
  const one = async (): Promise<void> => {
    while (performance.now() < end) {
      const client = await BenchClient.login(peer);
      sessions.add(await owners.of(client));
      client.close();
    }
  };
  await Promise.all(Array.from({ length: CLIENTS.open }, one));
  return { sessions: sessions.imbalance, transactions: sessions.imbalance };
}

/** `sessions` and `transactions`, for peers of several processes. `server`: the port of PostgreSQL. */
export async function imbalance(
  peer: Peer,
  server: number,
  opens: boolean,
  seconds: number,
): Promise<Figures> {
  const pids = peer.pid === undefined ? [] : childrenOf(peer.pid);
  if (pids.length < 2) return {};
  return (opens ? opening : staying)(peer, new Owners(pids, server), pids, seconds * 1_000);
}
