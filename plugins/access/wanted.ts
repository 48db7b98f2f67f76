/** The access that somebody at a command line wants: what `postern token` and `postern connect` take. */
import type { CommandLine, CommandOption } from '../../core/index.ts';

/** What the command line says; what is undefined is left to the environment, or to the gateway. */
export interface Wanted {
  readonly database: string;
  readonly role: string | undefined;
  readonly duration: string | undefined;
  readonly reason: string | undefined;
  /** Address of the gateway's `admin`. Default: `POSTERN_SERVER`. */
  readonly server: string | undefined;
  /** File with the caller's token or API key. Default: `POSTERN_CREDENTIAL_FILE`, or the text in `POSTERN_CREDENTIAL`. */
  readonly credential: string | undefined;
  /** Asks although there is a token that is good. */
  readonly fresh: boolean;
}

/** The options of a command that asks for access. */
export const WANTED_OPTIONS: Readonly<Record<string, CommandOption>> = {
  role: { value: 'ROLE', help: 'the role to have. Default: the only one there is for you' },
  duration: { value: 'TIME', help: 'how long, such as 15m. Default: as the policy says' },
  reason: { value: 'TEXT', help: 'why, for those who read the log' },
  server: { value: 'URL', help: "the gateway's admin address. Default: $POSTERN_SERVER" },
  credential: {
    value: 'FILE',
    help: 'has your token or API key in it. Default: $POSTERN_CREDENTIAL_FILE, or the text in $POSTERN_CREDENTIAL',
  },
  fresh: { help: 'asks although there is a token that is good' },
};

/** What a command line with {@link WANTED_OPTIONS} says; its first operand is the database. */
export function wantedBy({ options, operands }: CommandLine): Wanted {
  const of = (name: string): string | undefined => options[name]?.[0];
  return {
    database: operands[0] ?? '',
    role: of('role'),
    duration: of('duration'),
    reason: of('reason'),
    server: of('server'),
    credential: of('credential'),
    fresh: of('fresh') !== undefined,
  };
}
