/** The authorities that the config gives names to. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { badOption } from '../../core/index.ts';

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function fingerprintsIn(path: string, file: string): readonly string[] {
  let blocks: readonly string[];
  try {
    blocks = readFileSync(file, 'utf8').match(PEM_CERTIFICATE) ?? [];
  } catch (error) {
    return badOption(path, `cannot read ${file}: ${(error as Error).message}`);
  }
  if (blocks.length === 0) badOption(path, `no PEM certificate in ${file}`);
  return blocks.map((block) => {
    try {
      return new X509Certificate(block).fingerprint256.replaceAll(':', '').toLowerCase();
    } catch (error) {
      return badOption(path, `broken certificate in ${file}: ${(error as Error).message}`);
    }
  });
}

/**
 * Reads the files of authorities.
 * @param directory what relative paths start from
 * @returns their names by the SHA-256 of their certificates, lower-case hex
 * @throws ConfigError for a file that cannot be used, and for a certificate with two names
 */
export function readAuthorities(
  files: Readonly<Record<string, string>>,
  directory: string,
): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const [name, file] of Object.entries(files)) {
    const path = `certificates.authorities.${name}`;
    for (const fingerprint of fingerprintsIn(path, resolve(directory, file))) {
      const other = names.get(fingerprint);
      if (other !== undefined && other !== name) badOption(path, `has a certificate of '${other}'`);
      names.set(fingerprint, name);
    }
  }
  return names;
}
