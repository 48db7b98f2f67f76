/** One request of an operator that has found its route. */
import { milliseconds } from '../../core/index.ts';
import type { GatewayServices, Operator } from '../../core/index.ts';
import type { Operations } from './options.ts';

/** What the routes work on. */
export type Desk = Readonly<Pick<GatewayServices, 'operations' | 'overview'>> & Operations;

/** One request. */
export interface Asked extends Desk {
  readonly operator: Operator;
  /** What stands in the path in the places of `:name` and `:id`. */
  readonly name: string;
  readonly url: URL;
  readonly signal: AbortSignal;
}

/** Answers it. */
export type Route = (asked: Asked) => Promise<Response> | Response;

/** It goes on: what is waited for has not happened yet. */
export const ACCEPTED = 202;

/** Until whoever asked has waited long enough, or has left. @throws ConfigError */
export function patience({ url, signal, wait }: Asked): AbortSignal {
  const ms = milliseconds(url.searchParams.get('wait') ?? wait);
  return AbortSignal.any([signal, AbortSignal.timeout(Math.min(ms, 2 ** 31 - 1))]);
}
