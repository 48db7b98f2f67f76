/** Examples as their readers have them: copied out of the repository, with the gateway as a process of its own. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

/** The folder of package.json. */
export const root = fileURLToPath(new URL('../..', import.meta.url));
const shim = join(root, 'core/cli/postern.js');

/** Copies all examples to a temporary folder. */
export function copyExamples(): { readonly folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'postern-examples-'));
  cpSync(join(root, 'examples'), folder, { recursive: true });
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** The shell commands of a README, one text per fenced block. */
export function commandsIn(readme: string): readonly string[] {
  const blocks = readFileSync(readme, 'utf8').matchAll(/^```sh\n(.*?)^```/gms);
  return [...blocks].map(([, block = '']) => block);
}

/** An example's gateway that runs. */
export interface RunningExample {
  /** Ports by the name of the listener. */
  readonly ports: Readonly<Record<string, number>>;
  /** All it has printed. */
  readonly output: () => string;
  /** Sends SIGTERM. Resolves with the exit code. */
  stop(): Promise<number | null>;
}

type Environment = Readonly<Record<string, string | number>>;

function environmentOf(more: Environment): NodeJS.ProcessEnv {
  const texts = Object.entries(more).map(([name, value]) => [name, String(value)] as const);
  return { ...process.env, ...Object.fromEntries(texts) };
}

function portIn(line: string): readonly (readonly [string, number])[] {
  if (!line.includes('"listening"')) return [];
  const { name, port } = JSON.parse(line) as { name: string; port: number };
  return [[name, port]];
}

/**
 * Runs shell commands, the last of which is `npx postern start`, until that listens everywhere.
 * @param listeners how many the config has
 * @throws Error with the output if it ends before
 */
export async function start(
  commands: string,
  folder: string,
  environment: Environment,
  listeners = 1,
): Promise<RunningExample> {
  const script = `set -e\n${commands.replaceAll('npx postern', `exec '${process.execPath}' '${shim}'`)}`;
  const gateway = spawn('sh', ['-c', script], {
    cwd: folder,
    env: environmentOf(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  process.once('exit', () => gateway.kill());
  const exited = once(gateway, 'close') as Promise<[number | null]>;
  const ports = new Map<string, number>();
  const lines: string[] = [];
  createInterface(gateway.stderr).on('line', (line) => lines.push(line));
  const stdout = createInterface(gateway.stdout).on('line', (line) => lines.push(line));
  const ended = exited.then(() => Promise.reject(new Error(`the gateway ended:\n${lines.join('\n')}`)));
  const listening = new Promise<void>((resolve) => {
    stdout.on('line', (line) => {
      for (const [name, port] of portIn(line)) ports.set(name, port);
      if (ports.size === listeners) resolve();
    });
  });
  await Promise.race([listening, ended]);
  ended.catch(() => undefined);
  return {
    ports: Object.fromEntries(ports),
    output: () => lines.join('\n'),
    async stop() {
      gateway.kill('SIGTERM');
      return (await exited)[0];
    },
  };
}
