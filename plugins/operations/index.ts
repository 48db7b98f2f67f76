/** Operations over HTTP: overviews and orders for operators on `admin`, and the OpenAPI document of all that is mounted there. */
import type { Plugin } from '../../core/index.ts';
import { openApiRoute } from './openapi.ts';
import { operationsOf } from './options.ts';
import type { OperationsOptions } from './options.ts';
import { operationRoutes } from './routes.ts';

export type { OperationsOptions };

/**
 * Lets operators (`admin.operators`) see databases, sessions, pools and plugins over HTTP on `admin`, and pause, resume, reload, end
 * sessions and shut down; `/openapi.json` describes every route on `admin`.
 *
 * @place 13 anywhere
 * @throws ConfigError that names the option, such as `operations.wait`
 * @example operations()
 */
export function operations(options: OperationsOptions = {}): Plugin<never, never, 'operations'> {
  const checked = operationsOf(options);
  return {
    name: 'operations',
    options,
    setup(gateway) {
      for (const { path, handler, how } of [openApiRoute(gateway), ...operationRoutes(gateway, checked)])
        gateway.route(path, handler, how);
    },
  };
}
