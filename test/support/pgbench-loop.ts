/** pgbench again and again, as a service that goes on whatever happens to its sessions: what its transactions and logins have met. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** How it is run. */
export interface PgbenchOptions {
  readonly program: string;
  readonly env: NodeJS.ProcessEnv;
  readonly database: string;
  readonly args: readonly string[];
}

/** The command of pgbench's own script that begins a transaction, counted with its four `\set`. */
const BEGIN = 4;

/** One client program: run after run until {@link stop}. */
export class PgbenchLoop {
  /** Transactions that were confirmed. */
  transactions = 0;
  /** Sessions that had ended where a transaction would have begun: nothing has run. Where it was sending, pgbench does not say that it was told why. */
  endedBetween = 0;
  /** Lines about transactions that had begun. */
  readonly broken: string[] = [];
  /** Lines about logins. */
  readonly refused: string[] = [];
  /** Whatever else it complained about. */
  readonly others: string[] = [];
  readonly #options: PgbenchOptions;
  #stopped = false;
  readonly #done: Promise<void>;

  constructor(options: PgbenchOptions) {
    this.#options = options;
    this.#done = this.#loop();
  }

  /** Resolves when the last run has ended by itself. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) await this.#run();
  }

  async #run(): Promise<void> {
    const { program, env, database, args } = this.#options;
    const all = ['-n', ...args, database];
    const child = spawn(program, all, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [report, complaints] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => (report += String(chunk)));
    child.stderr.on('data', (chunk: Buffer) => (complaints += String(chunk)));
    await once(child, 'close');
    this.transactions += Number(/transactions actually processed: (\d+)/.exec(report)?.[1] ?? 0);
    for (const line of complaints.split('\n')) this.#read(line);
  }

  #read(line: string): void {
    if (!line.startsWith('pgbench: error: ')) return;
    // The line before says why.
    if (/while establishing connection|Run was aborted/.test(line)) return;
    const command = /client \d+ (?:script \d+ )?aborted in command (\d+)/.exec(line)?.[1];
    if (command !== undefined && Number(command) !== BEGIN) this.broken.push(line);
    else if (command !== undefined) this.endedBetween += 1;
    else if (/connection to server|could not connect|create connection/.test(line)) this.refused.push(line);
    else this.others.push(line);
  }
}
