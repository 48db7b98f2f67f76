/** What `ipFilter()` may be told. */

/** Whether clients pass whose address a database does not know, or knows nothing of what is asked. */
export type Unknown = 'allow' | 'deny';

/** The country of an address, by a database in MaxMind's format: GeoLite2, GeoIP2, DB-IP, IPinfo. */
export interface CountryOptions {
  /** Path of the `.mmdb` file, relative to the config. Replace the file and it is in force within seconds. */
  readonly database: string;
  /** Countries as ISO 3166-1 says, such as `'DE'`. Default: all but those of `deny`. */
  readonly allow?: readonly string[];
  /** Countries that are refused, also where `allow` has them. Default: none. */
  readonly deny?: readonly string[];
  /** Addresses of no known country, private ones among them. Default: `'deny'` with `allow`, else `'allow'`. */
  readonly unknown?: Unknown;
}

/** The network operator (autonomous system) of an address, by a database in MaxMind's format. */
export interface AsnOptions {
  /** Path of the `.mmdb` file, relative to the config. Replace the file and it is in force within seconds. */
  readonly database: string;
  /** Numbers such as `64496`, or `'AS64496'`. Default: all but those of `deny`. */
  readonly allow?: readonly (number | string)[];
  /** Numbers that are refused, also where `allow` has them. Default: none. */
  readonly deny?: readonly (number | string)[];
  /** Addresses of no known number, private ones among them. Default: `'deny'` with `allow`, else `'allow'`. */
  readonly unknown?: Unknown;
}

/** Options of the `ip-filter` plugin; a client has to pass all that are given. A reload applies them to new sessions. */
export interface IpFilterOptions {
  /** Networks in CIDR notation, or single addresses. Default: everybody; an empty list is refused. */
  readonly allow?: readonly string[];
  /** Networks that are refused, also where `allow` has them. Default: none. */
  readonly deny?: readonly string[];
  /** By country. Default: not looked at. */
  readonly countries?: CountryOptions;
  /** By network operator. Default: not looked at. */
  readonly asns?: AsnOptions;
}
