/** Gateways of one process that are the instances of a fleet, by a store in memory from which a test cuts them off. */
import { tmpdir } from 'node:os';
import { expect, onTestFinished } from 'vitest';
import { checkConfig } from '../../core/config/check.ts';
import { createFleetMember } from '../../core/fleet/member.ts';
import type { FleetStore } from '../../core/fleet/store.ts';
import { Gateway } from '../../core/gateway.ts';
import type { FleetAway } from '../../core/index.ts';
import { createLogger } from '../../core/telemetry/log.ts';
import type { FleetMember } from '../../core/workers/fleet-member.ts';
import { SingleProcess } from '../../core/workers/single-process.ts';
import { machineTimers } from '../../core/workers/timers.ts';
import { started } from '../support/gateway.ts';
import type { RunningGateway, TestConfig } from '../support/gateway.ts';
import { MemoryClient } from '../support/memory-client.ts';
import { MemoryStore } from '../support/memory-store.ts';

/** What a test chooses. */
export interface FleetInTestOptions {
  readonly revocations?: FleetAway['revocations'];
  /** Default a minute: longer than a test. */
  readonly staleMs?: number;
  readonly secret?: string;
}

/** An instance, and its connection to the store. */
export interface FleetInstanceInTest extends RunningGateway {
  readonly member: FleetMember;
  /** Nothing comes from the store, and nothing gets there. Resolves when the instance knows. */
  readonly cut: () => Promise<void>;
  readonly heal: () => void;
  readonly stop: () => Promise<void>;
}

/** A fleet. */
export interface FleetInTest {
  readonly store: MemoryStore;
  /** The membership of an instance without a gateway. */
  readonly join: (instance: string) => Promise<FleetMember>;
  readonly start: (instance: string, config: TestConfig) => Promise<FleetInstanceInTest>;
}

const TIMEOUT_MS = 100;

/** None has started. They stop with the test. */
export function fleetOf({
  revocations = 'refuse',
  staleMs = 60_000,
  secret = 'a secret of thirty-two characters',
}: FleetInTestOptions = {}): FleetInTest {
  const store = new MemoryStore({ timers: machineTimers, wall: Date.now, timeoutMs: TIMEOUT_MS });
  const memberOf = (
    instance: string,
    client: FleetStore,
    log: ReturnType<typeof createLogger>,
  ): FleetMember =>
    createFleetMember({
      store: client,
      timers: machineTimers,
      log,
      options: {
        name: 'test',
        instance,
        secret,
        staleMs,
        timeoutMs: TIMEOUT_MS,
        away: { revocations, limits: 'local' },
      },
    });
  return {
    store,
    async join(instance) {
      const member = memberOf(instance, new MemoryClient(store), createLogger('error'));
      await member.start();
      onTestFinished(() => member.close());
      return member;
    },
    async start(instance, config) {
      const client = new MemoryClient(store);
      const member = memberOf(instance, client, createLogger('error'));
      await member.start();
      const coordination = new SingleProcess(member);
      const resolved = checkConfig({ listen: { port: 0 }, ...config }, tmpdir());
      let gateway: Gateway | undefined;
      const stop = async (): Promise<void> => {
        await gateway?.stop();
        coordination.close();
        await member.close();
      };
      onTestFinished(stop);
      const running = await started(
        undefined,
        (logger) => (gateway = new Gateway(resolved, logger, coordination)),
      );
      return {
        ...running,
        member,
        async cut() {
          client.losing = 'requests';
          await expect.poll(() => member.state.staleSince, { timeout: 10_000 }).toBeDefined();
        },
        heal() {
          client.losing = undefined;
        },
        stop,
      };
    },
  };
}
