/** A gateway with workers as processes for each test of a file: whatever the test did to them ends with it. */
import { afterEach, beforeAll } from 'vitest';
import { prepareCheckout } from './gateway-process.ts';
import type { Postgres } from './postgres.ts';
import { startTokenGateway } from './token-gateway.ts';
import type { TokenGateway, TokenGatewayOptions } from './token-gateway.ts';
import { allReady, endAll } from './worker-processes.ts';

/** Starts gateways, one per test. */
export interface WorkerGateways {
  /** Some of its workers may not be ready yet. */
  readonly begin: (workers: number, options?: TokenGatewayOptions) => Promise<TokenGateway>;
  /** With two workers, both of which are ready. */
  readonly start: (options?: TokenGatewayOptions) => Promise<TokenGateway>;
}

/** Called once per file: compiles the checkout before its tests, and ends what each of them has started. */
export function workerGateways(postgres: Postgres): WorkerGateways {
  let running: TokenGateway | undefined;
  beforeAll(prepareCheckout, 120_000);
  afterEach(async () => {
    if (running) await endAll(running);
    running = undefined;
  }, 60_000);
  const begin: WorkerGateways['begin'] = async (workers, { more = '', ...options } = {}) => {
    running = await startTokenGateway(postgres, { ...options, more: `workers: ${workers}, ${more}` });
    return running;
  };
  return {
    begin,
    async start(options) {
      const gateway = await begin(2, options);
      await allReady(gateway, 2);
      return gateway;
    },
  };
}
