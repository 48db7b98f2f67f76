/** Asks each issuer for its keys once, for `postern check --online`. */
import type { Logger, ProbeContext, ProbeFinding } from '../../core/index.ts';
import { keySource } from './key-source.ts';
import { KeyStore } from './key-store.ts';
import type { IssuerPolicy, Policy } from './policy.ts';

/** What is worth a line there is a finding here. */
const SILENT: Logger = { info() {}, warn() {}, error() {} };

function givenUp(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function ask(
  place: string,
  policy: IssuerPolicy,
  { directory, signal }: ProbeContext,
): Promise<ProbeFinding> {
  const { keysOf: issuer, maxStaleMs } = policy;
  const source = keySource({ ...policy, issuer }, directory);
  const store = new KeyStore({ issuer, source, maxStaleMs });
  const close = store.open(SILENT);
  try {
    await Promise.race([store.refresh(), givenUp(signal)]);
    const problem = store.problem();
    const { keys } = store.reading;
    if (problem === undefined)
      return { path: place, text: `${issuer} has ${keys} ${keys === 1 ? 'key' : 'keys'}` };
    const text = signal.aborted ? `no keys of issuer ${issuer}: no answer in time` : problem;
    return { path: place, level: 'error', text };
  } finally {
    await close();
  }
}

/** A finding for each issuer of the config; those that share keys are asked once. */
export function probeIssuers({ issuers }: Policy, context: ProbeContext): Promise<readonly ProbeFinding[]> {
  const asked = new Map([...issuers.values()].map((policy) => [policy.keysOf, policy] as const));
  return Promise.all(
    [...asked.values()].map((policy, index) => ask(`jwt.issuers[${index}]`, policy, context)),
  );
}
