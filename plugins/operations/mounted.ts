/** A route of this plugin. */
import type { GatewayHandle, RouteOptions } from '../../core/index.ts';

/** A path with what answers there, and how it is mounted. */
export interface Mounted {
  readonly path: string;
  readonly handler: Parameters<GatewayHandle['route']>[1];
  readonly how: RouteOptions;
}
