/** The package as npm makes it, installed by npm in an empty folder: nothing of the repository is beside it. */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { prepareCheckout } from '../support/gateway-process.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const run = promisify(execFile);
const QUIET = ['--no-audit', '--no-fund', '--loglevel=error'];
/** What npm says where the registry cannot be reached, or does not have a package that it should. */
const OFFLINE =
  /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|E404|E50\d)\b/;

/** An empty folder of a project of its own. */
export interface EmptyFolder {
  readonly path: string;
  /** Runs a program there; resolves with its output, rejects with an error that has it. */
  run(command: string, ...args: readonly string[]): Promise<string>;
  /** Installs packages by npm. Resolves with why that cannot be tried here, and rejects for any other failure. */
  install(...packages: readonly string[]): Promise<string | undefined>;
  remove(): void;
}

/** Settings of the npm or vitest that runs this test are none of the project's. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_(?!config_registry)|VITEST|NODE_ENV$|NODE_OPTIONS$)/.test(name),
  );
  return Object.fromEntries(kept);
}

/**
 * Makes one, with a package.json that says nothing but that modules are ES modules.
 * @param variables of the environment of what runs there, besides those of this process
 */
export function emptyFolder(variables: Readonly<Record<string, string>> = {}): EmptyFolder {
  const path = mkdtempSync(join(tmpdir(), 'postern-package-'));
  writeFileSync(join(path, 'package.json'), '{ "private": true, "type": "module" }\n');
  const runThere = async (command: string, ...args: readonly string[]): Promise<string> => {
    const env = { ...environment(), ...variables };
    try {
      const { stdout, stderr } = await run(command, args, { cwd: path, env, maxBuffer: 2 ** 26 });
      return stdout + stderr;
    } catch (error) {
      const { stdout, stderr } = error as { readonly stdout?: string; readonly stderr?: string };
      throw new Error(`${command} ${args.join(' ')}:\n${stdout}${stderr}`, { cause: error });
    }
  };
  return {
    path,
    run: runThere,
    async install(...packages) {
      try {
        await runThere('npm', 'install', '--omit=dev', '--prefer-offline', ...QUIET, ...packages);
        return undefined;
      } catch (error) {
        const { message } = error as Error;
        if (!OFFLINE.test(message)) throw error;
        return `npm does not get the packages here: ${OFFLINE.exec(message)?.[0]}`;
      }
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** Packs a folder's package into another folder. Resolves with the path of the tarball. */
export async function pack(from: string, to: string): Promise<string> {
  const args = ['pack', '--json', '--ignore-scripts', `--pack-destination=${to}`, ...QUIET];
  const { stdout } = await run('npm', args, { cwd: from, env: environment() });
  const [{ filename }] = JSON.parse(stdout) as [{ readonly filename: string }];
  return join(to, filename);
}

/** Packs Postern into a folder. Resolves with the path of the tarball. */
export async function packPostern(to: string): Promise<string> {
  prepareCheckout();
  return pack(root, to);
}
