/** Reads single options of the config; a wrong one stops the boot with its path. */
import { ConfigError, GatewayError, parseRole } from '../../core/index.ts';
import type { RoleName } from '../../core/index.ts';

/** Stops the boot. @throws ConfigError that begins with the option's path */
export function bad(path: string, why: string): never {
  throw new ConfigError(`${path}: ${why}`);
}

/** A text with something in it. @throws ConfigError */
export function text(path: string, value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : bad(path, 'a text is needed');
}

/** The name of a role. @throws ConfigError */
export function role(path: string, value: unknown): RoleName {
  try {
    return parseRole(text(path, value));
  } catch (error) {
    if (error instanceof GatewayError)
      bad(path, error.hint ? `${error.message} (${error.hint})` : error.message);
    throw error;
  }
}
