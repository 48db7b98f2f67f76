/** OpenTelemetry's packages. They are larger than Postern and what it depends on, so whoever uses them installs them. */
import { createRequire } from 'node:module';
import { ConfigError } from '../../core/index.ts';

/** With the versions that package.json has as optional peers, in the form that npm installs. */
export const PACKAGES = [
  '@opentelemetry/api@1',
  '@opentelemetry/exporter-metrics-otlp-http@0.223',
  '@opentelemetry/otlp-exporter-base@0.223',
  '@opentelemetry/resources@2',
  '@opentelemetry/sdk-metrics@2',
  '@opentelemetry/sdk-trace@2',
  '@opentelemetry/semantic-conventions@1',
] as const;

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}

/** Checks that they are installed. @throws ConfigError with the line that installs what is missing */
export function requireOpenTelemetry(): void {
  const missing = PACKAGES.filter((one) => !isInstalled(one.slice(0, one.lastIndexOf('@'))));
  if (missing.length === 0) return;
  throw new ConfigError(
    `tracing: traces and metrics need OpenTelemetry's packages beside postern: npm install ${missing.join(' ')}`,
  );
}
