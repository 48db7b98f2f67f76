/** How a route on `admin` is mounted, and what its OpenAPI document says of it. */

/** Methods that a route may answer (RFC 9110 §9.3); whoever answers `get` answers HEAD. */
export type RouteMethod = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** An Operation Object of OpenAPI 3.1 (§4.8.10). Parameters in the path, and answers to strangers, need not be said. */
export interface RouteOperation {
  readonly summary: string;
  readonly description?: string;
  /** Of the query and the headers (§4.8.12). Default: none. */
  readonly parameters?: readonly object[];
  /** §4.8.13. Default: none. */
  readonly requestBody?: object;
  /** By status (§4.8.17). */
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: object }>>;
  /** Default: an operator's token, on public routes nothing. `'caller'`: a token or key that the route itself looks at. */
  readonly security?: 'caller';
}

/** How a route is mounted. */
export interface RouteOptions {
  /** Answer without an operator's token. Default false. */
  readonly public?: boolean;
  /**
   * Its operations, for `/openapi.json`. The handler hears of these methods only, others are answered with 405. Default:
   * it hears of all, and the document does not name it.
   */
  readonly openapi?: Readonly<Partial<Record<RouteMethod, RouteOperation>>>;
}
