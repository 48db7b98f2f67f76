/** Findings that need no network: secrets in files, and roles that cannot log in. */
import { readFileSync } from 'node:fs';
import type { ResolvedConfig } from '../../config/resolved.ts';
import { canLogIn, mappedBy } from '../sql/served.ts';
import type { Finding } from './finding.ts';

/** Each file that the config reads by `file()`: it is there, can be read, and is not empty. */
export function secretFindings({ secretFiles }: Pick<ResolvedConfig, 'secretFiles'>): readonly Finding[] {
  return secretFiles.map((path): Finding => {
    const at = `file('${path}')`;
    try {
      const empty = readFileSync(path, 'utf8').trim() === '';
      return empty
        ? { level: 'error', path: at, text: 'the file is empty' }
        : { level: 'ok', path: at, text: 'the file can be read' };
    } catch (error) {
      const { code = 'no reason' } = error as NodeJS.ErrnoException;
      return { level: 'error', path: at, text: `the file cannot be read: ${code}` };
    }
  });
}

/** Roles that a plugin maps, and for which `login.passwords` has nothing: their sessions are refused. */
export async function passwordFindings(config: ResolvedConfig): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const name of config.databaseNames) {
    const database = await config.database(name);
    if (!database) continue;
    const lost = [...new Set(mappedBy(config.plugins, name))].filter((role) => !canLogIn(database, role));
    for (const role of lost) {
      const text = `role "${role}" has no password here, and plugins may map it: its sessions are refused`;
      findings.push({ level: 'warning', path: `databases.${name}.login.passwords`, text });
    }
  }
  return findings;
}
