/** Something that a load connects to. */
export interface Peer {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** Whether its clients talk TLS to it. */
  readonly tls: boolean;
  /** The process between client and database; none for the database itself. */
  readonly pid?: number;
}
