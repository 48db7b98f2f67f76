/** The role that the gateway logs in as for a mapped role: that role itself, unless the config says otherwise. */
import type { Login } from '../database.ts';
import { GatewayError } from '../errors.ts';
import type { RoleName } from '../names.ts';

/**
 * The user of the startup packet.
 * @throws GatewayError `insufficient_privilege` if the mapped role is the login role of `set-role`, which may become all others
 */
export function loginRoleOf(login: Login, role: RoleName): string {
  if (login.kind !== 'set-role') return role;
  if (login.user !== role) return login.user;
  throw new GatewayError('insufficient_privilege', `role "${role}" may not be used through the gateway`, {
    cause: new Error(`role "${role}" is the login role of 'set-role', which may become every other`),
  });
}
