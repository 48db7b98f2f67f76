/** The ways to log in: the columns of the table in core/client/README.md, which runs of each client's program write. */

/** Each is one try of each client, at a listener that asks for `credential`. */
export const WAYS = [
  { way: 'token', title: 'token', credential: 'password' },
  { way: 'oauthbearer', title: 'OAUTHBEARER', credential: 'oauthbearer' },
  { way: 'scram', title: 'SCRAM', credential: 'scram' },
  { way: 'channel binding', title: 'SCRAM, bound', credential: 'scram' },
  { way: 'certificate', title: 'certificate', credential: 'certificate' },
] as const;

/** A way to log in. */
export type Way = (typeof WAYS)[number]['way'];

/** Where and with what a client tries. The host is `localhost`, the database `orders`. */
export interface Try {
  readonly way: Way;
  readonly port: number;
  readonly user: string;
  /** A token or a password; absent where the certificate is all. */
  readonly password?: string;
  /** PEM files. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** The key in DER (PKCS #8), as pgjdbc wants it. */
  readonly pk8: string;
  /** The issuer that is announced. */
  readonly issuer: string;
}

/** What came of a try: the role, or why not. */
export type Said = { readonly role: string } | { readonly error: string };

/** What a client's program gave. */
export interface Logins {
  readonly version: string;
  readonly said: ReadonlyMap<string, Said>;
}

/** Reads what a program printed: its version, then a line for each try. */
export function readLogins(printed: string): Logins {
  const said = new Map<string, Said>();
  let version = '';
  for (const line of printed.trim().split('\n')) {
    const read = JSON.parse(line) as { version?: string; way?: string } & Said;
    if (read.way === undefined) version = read.version ?? '';
    else said.set(read.way, read);
  }
  return { version, said };
}

/** The head of the table. */
export const HEAD: readonly string[] = ['client', ...WAYS.map(({ title }) => title)];

/** The cells of a row: yes where the client was let in, – where it has no such thing. */
export function rowOf(name: string, { said }: Logins): readonly string[] {
  const cells = WAYS.map(({ way }) => {
    const found = said.get(way);
    return found && 'role' in found ? 'yes' : '–';
  });
  return [name, ...cells];
}
