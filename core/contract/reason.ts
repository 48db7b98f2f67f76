/** Why something failed, for people who read logs and terminals. */

/**
 * The messages of an error and of its causes, up to five, as `the key set cannot be fetched: connect ECONNREFUSED 127.0.0.1:1`.
 *
 * @example session.log.warn({ reason: reasonOf(new Error('the calendar cannot be read')) }, 'closed');
 */
export function reasonOf(error: Error): string {
  const texts: string[] = [];
  for (let at: unknown = error; at instanceof Error && texts.length < 5; at = at.cause)
    texts.push(textOf(at));
  return texts.join(': ');
}

/** A name with several addresses fails with an error that has no message of its own. */
function textOf(error: Error): string {
  if (error.message !== '' || !(error instanceof AggregateError)) return error.message;
  return (error.errors as unknown[])
    .map((one) => (one instanceof Error ? one.message : typeof one))
    .join(', ');
}
