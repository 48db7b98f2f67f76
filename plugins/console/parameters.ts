/** Run-time parameters as a session of the console has them: drivers set and ask for them, and nothing here depends on one. */
import { GatewayError } from '../../core/index.ts';
import type { Startup } from '../../core/index.ts';

/** The version of PostgreSQL that drivers may take the console for: they go by it, and some warn of one they do not know. */
const AS_POSTGRESQL = 14;

/** What a client is told as `server_version`; `own` is the version of Postern. */
export const serverVersion = (own: string): string => `${AS_POSTGRESQL}.0 (Postern ${own})`;

interface Parameter {
  readonly value: string;
  /** Told to the client at its login, and when it is set (manual, 55.2.7). */
  readonly reported?: true;
  readonly fixed?: true;
}

const reported = (value: string): Parameter => ({ value, reported: true });
const fixed = (value: string): Parameter => ({ value, fixed: true });
const told = (value: string): Parameter => ({ value, reported: true, fixed: true });

/** By their names in PostgreSQL, with the values that hold here. */
const STANDARD: Readonly<Record<string, Parameter>> = {
  application_name: reported(''),
  bytea_output: { value: 'hex' },
  client_encoding: reported('UTF8'),
  client_min_messages: { value: 'notice' },
  DateStyle: reported('ISO, MDY'),
  default_transaction_deferrable: { value: 'off' },
  default_transaction_isolation: { value: 'read committed' },
  default_transaction_read_only: reported('off'),
  extra_float_digits: { value: '1' },
  idle_in_transaction_session_timeout: { value: '0' },
  idle_session_timeout: { value: '0' },
  in_hot_standby: told('off'),
  integer_datetimes: told('on'),
  IntervalStyle: reported('postgres'),
  is_superuser: told('off'),
  jit: { value: 'off' },
  lock_timeout: { value: '0' },
  max_identifier_length: fixed('63'),
  row_security: { value: 'on' },
  search_path: { value: '"$user", public' },
  server_encoding: told('UTF8'),
  server_version: told(''),
  server_version_num: fixed(`${AS_POSTGRESQL}0000`),
  session_authorization: told(''),
  standard_conforming_strings: told('on'),
  statement_timeout: { value: '0' },
  synchronous_commit: { value: 'on' },
  TimeZone: reported('GMT'),
  transaction_deferrable: { value: 'off' },
  transaction_isolation: { value: 'read committed' },
  transaction_read_only: { value: 'off' },
};

const NAMES = new Map(Object.keys(STANDARD).map((name) => [name.toLowerCase(), name]));

/** How UTF-8 is written. */
const UTF8 = /^(utf-?8|unicode)$/i;

/** A parameter's name as PostgreSQL writes it; undefined for those that the console does not have. */
export function parameterName(name: string): string | undefined {
  return NAMES.get(name.toLowerCase());
}

/** The same. @throws GatewayError `undefined_object` for a parameter that the console does not have */
export function knownParameter(name: string): string {
  const known = parameterName(name);
  if (known !== undefined) return known;
  const hint =
    'What the gateway runs with stands in its config: change it there, then RELOAD. SHOW CONFIG tells it.';
  const shown = name.length > 63 ? `${name.slice(0, 63)}…` : name;
  throw new GatewayError('undefined_object', `unrecognized configuration parameter "${shown}"`, { hint });
}

/** A parameter and its value, as a client is told. */
export type Report = readonly [name: string, value: string];

/** One per session. */
export class Parameters {
  readonly #start = new Map<string, string>();
  readonly #values: Map<string, string>;
  readonly #reported: Map<string, string>;

  /** `startup`: the client's startup packet; `version` is that of Postern. */
  constructor({ parameters: startup, user }: Pick<Startup, 'parameters' | 'user'>, version: string) {
    for (const [name, { value }] of Object.entries(STANDARD)) this.#start.set(name, value);
    for (const [name, value] of Object.entries(startup)) {
      const known = parameterName(name);
      if (known !== undefined && known !== 'client_encoding' && STANDARD[known]?.fixed !== true)
        this.#start.set(known, value);
    }
    this.#start.set('session_authorization', user);
    this.#start.set('server_version', serverVersion(version));
    this.#values = new Map(this.#start);
    this.#reported = new Map([...this.#values].filter(([name]) => STANDARD[name]?.reported));
  }

  /** Those that a client is told, as they are now. */
  get reported(): ReadonlyMap<string, string> {
    return this.#reported;
  }

  /** @throws GatewayError as {@link knownParameter} */
  get(name: string): string {
    return this.#values.get(knownParameter(name)) ?? '';
  }

  /**
   * Sets one, or sets it back to what it was at the login (undefined); gives what the client has to be told.
   * @throws GatewayError as {@link knownParameter}; `cant_change_runtime_param`; `invalid_parameter_value` for an encoding
   * other than UTF8
   */
  set(name: string, value: string | undefined): readonly Report[] {
    const known = knownParameter(name);
    const next = value ?? this.#start.get(known) ?? '';
    if (STANDARD[known]?.fixed === true) refuseChange(known, next, this.get(known));
    const is = known === 'client_encoding' ? encoding(next) : next;
    const before = this.#values.get(known);
    this.#values.set(known, is);
    if (STANDARD[known]?.reported) this.#reported.set(known, is);
    return STANDARD[known]?.reported && is !== before ? [[known, is]] : [];
  }

  /** Sets all back, as {@link set} does. */
  reset(): readonly Report[] {
    return [...this.#start.keys()].flatMap((name) => this.set(name, undefined));
  }
}

/** To set what is so already changes nothing. */
function refuseChange(name: string, value: string, is: string): void {
  if (value.toLowerCase() === is.toLowerCase()) return;
  throw new GatewayError('cant_change_runtime_param', `parameter "${name}" cannot be changed`);
}

function encoding(value: string): string {
  if (UTF8.test(value)) return 'UTF8';
  const hint = 'The console speaks UTF8.';
  throw new GatewayError('invalid_parameter_value', 'invalid value for parameter "client_encoding"', {
    hint,
  });
}
