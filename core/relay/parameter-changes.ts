/** Tells the client when another server connection has other run-time parameters. */
import type { Parameters, ServerConnection } from '../upstream/connection.ts';
import { parameterStatus } from '../wire/to-client.ts';

/** Reports to the client the run-time parameters in which a connection differs from the last one. */
export function reportParameterChanges(
  known: Parameters,
  { parameters }: ServerConnection,
  tell: (message: Buffer) => void,
): void {
  if (known.content !== undefined && known.content === parameters.content) return;
  for (const [name, value] of parameters) {
    if (known.get(name) === value) continue;
    known.set(name, value);
    tell(parameterStatus(name, value));
  }
}
