/** The users of a PgBouncer: those of its auth_file, and those that are named on the command line. */
import { readFileSync, statSync } from 'node:fs';
import { importPlugin } from '../../config/own-modules.ts';
import { ConfigError, GatewayError } from '../../contract/errors.ts';
import { parseRole } from '../../contract/names.ts';
import type { Place } from './ini.ts';
import type { Remarks } from './remarks.ts';

/** Of the module `userlist` of the plugin that reads such a file at the start. */
interface UserlistModule {
  readonly parseUserlist: (
    text: string,
  ) => ReadonlyMap<string, { readonly kind: string; readonly line: number }>;
}

/** Writing by the group, and anything by others: the plugin does not read such a file. */
const TOO_WIDE = 0o027;

/** A file of passwords that can be used. */
export interface AuthFile {
  /** Absolute, or relative to the working directory. */
  readonly path: string;
  readonly place: Place;
}

function roleOf(name: string, place: Place | undefined, remarks: Remarks): readonly string[] {
  try {
    return [parseRole(name)];
  } catch (error) {
    if (!(error instanceof GatewayError)) throw error;
    remarks.add(place, `the user ${JSON.stringify(name)} can be no role here: ${error.message}`);
    return [];
  }
}

function textOf({ path, place }: AuthFile, remarks: Remarks): string {
  try {
    const { mode } = statSync(path);
    if ((mode & TOO_WIDE) !== 0)
      remarks.add(
        place,
        `${path} is for the gateway and its group only, or it is not read: chmod 640 ${path}`,
      );
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code = 'no reason' } = error as NodeJS.ErrnoException;
    remarks.add(place, `${path} cannot be read here (${code}): users are those of --user`);
    return '';
  }
}

/** Users with a password in the file; what is wrong with others is a remark. @throws ConfigError without the plugin */
export async function usersIn(file: AuthFile, remarks: Remarks): Promise<readonly string[]> {
  const { parseUserlist } = (await importPlugin('passwords', 'userlist')) as UserlistModule;
  const text = textOf(file, remarks);
  let listed: ReturnType<UserlistModule['parseUserlist']>;
  try {
    listed = parseUserlist(text);
  } catch (error) {
    throw new ConfigError(`${file.path}: ${(error as Error).message}`);
  }
  return [...listed].flatMap(([name, { kind, line }]) => {
    const place = { file: file.path, line };
    if (kind === 'md5')
      remarks.add(
        place,
        `${JSON.stringify(name)} has md5, which SCRAM cannot use: the gateway does not start until it has a new password, \\password in psql`,
      );
    if (kind === 'none') {
      remarks.add(place, `${JSON.stringify(name)} has no password and logs in nowhere`);
      return [];
    }
    return roleOf(name, place, remarks);
  });
}

/** Users of the command line. */
export function usersNamed(names: readonly string[], remarks: Remarks): readonly string[] {
  return names.flatMap((name) => roleOf(name, undefined, remarks));
}
