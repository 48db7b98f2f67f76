/** The mode in which a session uses its pool: that of the database entry, or the other one where the client asks and may. */
import type { DatabaseOptions } from '../contract/database.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Startup } from '../contract/session.ts';

/** The startup parameter by which a client asks. */
export const POOL_MODE = 'postern.pool';

const MODES = ['session', 'transaction'] as const;
type Mode = (typeof MODES)[number];

/** Checks what the client asks for. @throws GatewayError `invalid_parameter_value` for a mode that there is not */
export function checkPoolMode({ [POOL_MODE]: asked }: Readonly<Record<string, string>>): void {
  if (asked === undefined || MODES.some((mode) => mode === asked)) return;
  throw new GatewayError('invalid_parameter_value', `invalid value for parameter "${POOL_MODE}"`, {
    hint: 'Available values: session, transaction.',
  });
}

/** The mode of a session. @throws GatewayError `feature_not_supported` where the client asks for another one than the entry's, and may not choose */
export function poolModeOf({ options }: Startup, entry: string, { pool }: DatabaseOptions): Mode {
  const usual = pool?.mode ?? 'session';
  const asked = MODES.find((mode) => mode === options?.[POOL_MODE]) ?? usual;
  if (asked === usual || pool?.clientMode === 'choose') return asked;
  const hint = `Connect without ${POOL_MODE}, or have the config say clientMode: 'choose' in the pool of this database.`;
  throw new GatewayError(
    'feature_not_supported',
    `database "${entry}" has no ${asked} mode: its pool is in ${usual} mode`,
    { hint },
  );
}
