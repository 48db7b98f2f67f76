/** Why something has failed, as text: errors do not travel between processes. */

/** The message of an error. */
export const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : 'unknown');
