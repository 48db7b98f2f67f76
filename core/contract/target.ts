/** Which servers of a database entry a session may be served by. */

/**
 * `primary`: the one that takes writes. `replica`: one in recovery. `prefer-replica`: the primary only while there is no
 * replica. `any`: either. What a server is it says itself, at each login and all the time (libpq's
 * `target_session_attrs` with `primary`, `standby`, `prefer-standby`, `any`; manual, 34.1.2).
 *
 * @example const target = readChoice('mine.target', word, TARGETS);
 */
export const TARGETS = ['primary', 'replica', 'prefer-replica', 'any'] as const;

/** One of {@link TARGETS}. */
export type Target = (typeof TARGETS)[number];
