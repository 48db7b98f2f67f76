/** The files of one trail: the one that is written, and those before it, named by the number of their last line. */
import { readdir } from 'node:fs/promises';
import path from 'node:path';

const DIGITS = 12;

/** One of several workers. */
export interface Worker {
  /** From 1. */
  readonly number: number;
  /** How many there are. */
  readonly of: number;
}

function parts(file: string): { readonly folder: string; readonly stem: string; readonly extension: string } {
  const { dir, name, ext } = path.parse(file);
  return { folder: dir, stem: name, extension: ext };
}

/** The file of one of several workers: `audit.w2.jsonl`. */
export function fileOfWorker(file: string, worker: Worker | undefined): string {
  if (!worker) return file;
  const { folder, stem, extension } = parts(file);
  return path.join(folder, `${stem}.w${worker.number}${extension}`);
}

/** What a full file is called: `audit.000000001234.jsonl`. */
export function rotatedName(file: string, lastLine: number): string {
  const { folder, stem, extension } = parts(file);
  return path.join(folder, `${stem}.${String(lastLine).padStart(DIGITS, '0')}${extension}`);
}

/** The full files of a trail, the oldest first. */
export async function rotatedFiles(file: string): Promise<readonly string[]> {
  const { folder, stem, extension } = parts(file);
  const names = (await readdir(folder)).filter((name) => {
    const number = name.slice(stem.length + 1, name.length - extension.length);
    return name.startsWith(`${stem}.`) && name.endsWith(extension) && /^\d{12,16}$/.test(number);
  });
  const byNumber = (name: string): number =>
    Number(name.slice(stem.length + 1, name.length - extension.length));
  return names
    .toSorted((one, other) => byNumber(one) - byNumber(other))
    .map((name) => path.join(folder, name));
}
