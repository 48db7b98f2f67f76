/** Orders of operators as they come in: each is to something that there is, logged, and told. */
import type { ResolvedConfig } from '../config/resolved.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Events } from '../contract/events.ts';
import type { Operator } from '../contract/operations.ts';
import type { PinoLogger } from '../telemetry/log.ts';

/** Who hears of orders. */
export interface GivenOrdersParts {
  readonly log: PinoLogger;
  /** Hears of each order. */
  readonly tell: (event: Events['operator']) => void;
  /** The config in force. */
  readonly config: () => Pick<ResolvedConfig, 'database'>;
}

/** One per gateway. */
export class GivenOrders {
  readonly #parts: GivenOrdersParts;

  constructor(parts: GivenOrdersParts) {
    this.#parts = parts;
  }

  /** @throws GatewayError `invalid_catalog_name` where there is no such entry */
  async known(name: string): Promise<void> {
    const found = name === '*' ? undefined : await this.#parts.config().database(name);
    if (found) return;
    throw new GatewayError('invalid_catalog_name', `no such database: ${name}`);
  }

  /** Before it is carried out. @throws GatewayError as {@link known} */
  async begin(
    verb: string,
    by: Operator,
    name: string | undefined,
    more: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    if (name !== undefined) await this.known(name);
    this.log(verb, by, { database: name ?? 'all', ...more });
  }

  /** Logs and tells an order. */
  log(verb: string, { identity, via }: Operator, target: Readonly<Record<string, string>>): void {
    const { issuer, subject } = identity;
    this.#parts.log.info({ verb, ...target, issuer, subject, via }, 'operator');
    this.#parts.tell({ by: { issuer, subject }, via, verb, target });
  }
}
