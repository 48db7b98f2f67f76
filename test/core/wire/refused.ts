/** What a reader made of some bytes: its value, or the GatewayError it threw; anything else fails the test. */
import { GatewayError } from '../../../core/contract/errors.ts';

/** Runs a reader. @throws whatever it throws that is not a GatewayError */
export function attempt<T>(read: () => T): T | GatewayError {
  try {
    return read();
  } catch (error) {
    if (error instanceof GatewayError) return error;
    throw error;
  }
}

/** The refusal of a reader that must refuse. @throws Error if it does not */
export function refused(read: () => unknown): GatewayError {
  const result = attempt(read);
  if (result instanceof GatewayError) return result;
  throw new Error(`expected a refusal, got ${JSON.stringify(result)}`);
}
