/** Rules about countries and network operators, each with the database that it asks. */
import path from 'node:path';
import { ConfigError } from '../../core/index.ts';
import type { Disposer, GatewayHandle } from '../../core/index.ts';
import { GeoDatabase } from './geo-database.ts';
import type { GeoRule } from './policy.ts';

/** One rule at work. */
export interface GeoGate {
  /** Why an address is refused; undefined if it passes. */
  refusal(address: string): string | undefined;
}

/** Gates that are open until they are closed. */
export interface GeoGates {
  readonly gates: readonly GeoGate[];
  readonly close: Disposer;
}

function gateOf(rule: GeoRule, database: GeoDatabase): GeoGate {
  const { path: where, allow, deny, unknown } = rule;
  return {
    refusal(address) {
      let found: string | undefined;
      try {
        found = database.find(address);
      } catch (error) {
        return `${where}.database: ${error instanceof Error ? error.message : 'failed'}`;
      }
      if (found === undefined) return unknown === 'deny' ? `${where}: the address is not known` : undefined;
      if (deny.has(found)) return `${where}.deny has ${found}`;
      return allow && !allow.has(found) ? `${where}.allow does not have ${found}` : undefined;
    },
  };
}

function asConfigError(error: unknown, { path: where, file }: GeoRule): ConfigError {
  const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
  const why = missing ? 'there is no such file' : error instanceof Error ? error.message : 'failed';
  return new ConfigError(`${where}.database: '${file}' cannot be used: ${why}`);
}

/** Opens every database; where one cannot be used, none stays open. @throws ConfigError that names the option */
export async function openGates(rules: readonly GeoRule[], gateway: GatewayHandle): Promise<GeoGates> {
  const closers: Disposer[] = [];
  const close = (): void => {
    for (const one of closers.splice(0)) void one();
  };
  const gates: GeoGate[] = [];
  for (const rule of rules) {
    const file = path.resolve(gateway.directory, rule.file);
    // What has not changed stays in memory over a reload.
    const database = gateway.keep(`${rule.kind} ${file}`, () => new GeoDatabase(file, rule.kind));
    try {
      closers.push(await database.open(gateway.log));
    } catch (error) {
      close();
      throw asConfigError(error, rule);
    }
    gates.push(gateOf(rule, database));
  }
  return { gates, close };
}
