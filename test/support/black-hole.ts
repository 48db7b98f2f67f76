/** A host in front of a server that can fall silent: what is sent to it vanishes, and nobody answers. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';

/** Passes bytes on; one connection may wait to be accepted. */
const PROGRAM = `
const net = require('node:net');
const server = net.createServer((one) => {
  const other = net.connect(Number(process.argv[1]), '127.0.0.1');
  for (const [a, b] of [[one, other], [other, one]]) a.pipe(b), a.on('error', () => b.destroy()).on('close', () => b.destroy());
});
server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(server.address().port));
`;
/** How long a connection takes at least that is never answered, in milliseconds. */
const UNANSWERED_MS = 2_000;

/** One such host. */
export class BlackHole {
  readonly port: number;
  readonly #child: ChildProcess;
  #fillers: net.Socket[] = [];

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
  }

  /** In front of the server at `port`, which it passes everything to. */
  static async open(port: number): Promise<BlackHole> {
    const child = spawn(process.execPath, ['-e', PROGRAM, String(port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    return new BlackHole(child, Number(String(line)));
  }

  /** From now on no connection is made, and none is refused: the queue of those to be accepted is full. */
  async swallow(): Promise<void> {
    this.#child.kill('SIGSTOP');
    for (;;) {
      const filler = net.connect(this.port, '127.0.0.1').on('error', () => {});
      this.#fillers.push(filler);
      const connected = once(filler, 'connect').then(() => true);
      const late = new Promise<false>((resolve) => setTimeout(resolve, UNANSWERED_MS, false));
      if (!(await Promise.race([connected, late]))) return;
    }
  }

  /** As before. */
  recover(): void {
    for (const filler of this.#fillers.splice(0)) filler.destroy();
    this.#child.kill('SIGCONT');
  }

  close(): void {
    this.recover();
    this.#child.kill('SIGKILL');
  }
}
