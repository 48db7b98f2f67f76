/** What a config says about the run-time parameters that clients send in their startup packet. */

/**
 * Rules of a listener, or of an entry of `databases`. Both apply: a parameter that one of them ignores is ignored, one that either refuses
 * is refused, and for one name the entry's `default` wins. Names in any case.
 */
export interface StartupRules {
  /**
   * Parameters that the gateway drops from startup packets and does not log.
   *
   * @defaultValue none
   * @example ignore: ['extra_float_digits']
   */
  readonly ignore?: readonly string[];
  /**
   * Parameters with which a login is refused (08P01).
   *
   * @defaultValue none
   * @example refuse: ['session_preload_libraries']
   */
  readonly refuse?: readonly string[];
  /**
   * Values for sessions whose client sends no value of its own, or one that `ignore` drops. A name that stands in `ignore` and here has this
   * value for every client until it says `SET`. A value that PostgreSQL refuses refuses the login.
   *
   * @defaultValue none
   * @example default: { statement_timeout: '30s' }
   */
  readonly default?: Readonly<Record<string, string>>;
}
