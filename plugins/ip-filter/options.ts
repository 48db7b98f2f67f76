/** What `ipFilter()` may be told. */

/** Whether clients pass whose address a database does not know, or knows nothing of what is asked. */
export type Unknown = 'allow' | 'deny';

/** What both databases of addresses have. */
interface AddressDatabase {
  /**
   * Path of the `.mmdb` file, relative to the config: GeoLite2, GeoIP2, DB-IP, IPinfo. A new file in its place is in force within seconds.
   *
   * @example database: 'geo/GeoLite2.mmdb'
   */
  readonly database: string;
  /**
   * Whether clients pass whose address the database does not know; private addresses, such as `10.0.0.1`, are among them.
   *
   * @defaultValue `'deny'` with `allow`, else `'allow'`
   * @example unknown: 'allow'
   */
  readonly unknown?: Unknown;
}

/** The country of an address, by a database in MaxMind's format. */
export interface CountryOptions extends AddressDatabase {
  /**
   * The countries that are let in, by ISO 3166-1.
   *
   * @defaultValue all but those of `deny`
   * @example allow: ['DE', 'AT']
   */
  readonly allow?: readonly string[];
  /**
   * Countries that are refused, also where `allow` has them.
   *
   * @defaultValue none
   * @example deny: ['XX']
   */
  readonly deny?: readonly string[];
}

/** The network operator (autonomous system) of an address, by a database in MaxMind's format. */
export interface AsnOptions extends AddressDatabase {
  /**
   * The network operators that are let in, by their numbers.
   *
   * @defaultValue all but those of `deny`
   * @example allow: [64496, 'AS64497']
   */
  readonly allow?: readonly (number | string)[];
  /**
   * Numbers that are refused, also where `allow` has them.
   *
   * @defaultValue none
   * @example deny: ['AS64511']
   */
  readonly deny?: readonly (number | string)[];
}

/**
 * Options of the `ip-filter` plugin; a client has to pass all that are given.
 *
 * @reload new sessions
 */
export interface IpFilterOptions {
  /**
   * The networks that are let in, in CIDR notation, or single addresses. An empty list stops the boot.
   *
   * @defaultValue all
   * @example allow: ['10.0.0.0/8', '2001:db8::/32']
   */
  readonly allow?: readonly string[];
  /**
   * Networks that are refused, also where `allow` has them.
   *
   * @defaultValue none
   * @example deny: ['10.6.6.0/24']
   */
  readonly deny?: readonly string[];
  /**
   * Filters by country.
   *
   * @defaultValue none: the country does not count
   * @example countries: { database: 'geo/GeoLite2-Country.mmdb', allow: ['DE', 'AT'] }
   */
  readonly countries?: CountryOptions;
  /**
   * Filters by network operator (autonomous system).
   *
   * @defaultValue none: the network operator does not count
   * @example asns: { database: 'geo/GeoLite2-ASN.mmdb', deny: ['AS64511'] }
   */
  readonly asns?: AsnOptions;
}
