/** What a config says about the run-time parameters that clients send in their startup packet. */

/** Of a listener, or of an entry of `databases`: both apply, and for one name a `default` of the entry wins. Names in any case. */
export interface StartupRules {
  /** Parameters of clients that are dropped without a word. Default: none. */
  readonly ignore?: readonly string[];
  /** Parameters with which a login is refused (08P01). Default: none. */
  readonly refuse?: readonly string[];
  /** Values for sessions whose client sends none, or one that is ignored; refused values refuse the login. Default: none. */
  readonly default?: Readonly<Record<string, string>>;
}
