/** A gateway for each test of a file, and raw clients of it: both are gone after the test. */
import { afterEach } from 'vitest';
import { startGateway } from './gateway.ts';
import type { RunningGateway, TestConfig } from './gateway.ts';
import { RawClient } from './raw-client.ts';

/** What a file makes its tests with. */
export interface GatewayForEach {
  readonly start: (config: TestConfig) => Promise<RunningGateway>;
  readonly connect: (gateway: RunningGateway) => Promise<RawClient>;
}

/** Call it once, outside of all tests. */
export function gatewayForEach(): GatewayForEach {
  let running: RunningGateway | undefined;
  const clients: RawClient[] = [];
  afterEach(async () => {
    for (const client of clients.splice(0)) client.destroy();
    await running?.gateway.stop();
    running = undefined;
  });
  return {
    start: async (config) => (running = await startGateway(config)),
    connect: async ({ port }) => {
      const client = await RawClient.connect(port);
      clients.push(client);
      return client;
    },
  };
}
