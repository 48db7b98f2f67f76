/** Settings of PgBouncer that have no equivalent, with the reason: for the section [pgbouncer] and for connection strings. */

const LOG = 'the log is JSON lines on standard output, at logLevel';
const TCP = 'the gateway chooses the options of its sockets itself';
const DNS = "names are resolved by the system's resolver, for each connection that is opened";
const PROCESS = 'the service manager has the process: its user, its working directory, its restarts';
const CHECKS = 'idle connections are watched all the time, and one that has died is not handed out';
const CIPHERS = "TLS 1.2 and 1.3 with Node's cipher suites";
const STATISTICS = 'metrics are for a Prometheus or an OpenTelemetry collector: plugin tracing';
const PEERS =
  'a cancel request has to reach the gateway that has the session: let the balancer choose by the client';
const SOCKETS = 'with auth_type = cert no unix socket is served, which has no certificates';
const OPERATORS =
  'operators come with tokens: admin: { operators: { claim, value } }, and by psql to the database of console() in plugins';

/** Names of files find nothing in it that is not written here, such as `constructor`. */
const textsOf = (texts: Readonly<Record<string, string>>): ReadonlyMap<string, string> =>
  new Map(Object.entries(texts));

/** By name. */
export const NO_EQUIVALENT: ReadonlyMap<string, string> = textsOf({
  admin_users: OPERATORS,
  stats_users: OPERATORS,
  auth_hba_file: 'networks are let in by the plugin ipFilter, users by the allow-list of roles',
  auth_ident_file: 'names are mapped by the plugin roles',
  auth_dbname: 'passwords({ query: { database } }) says which database is asked',
  auth_ldap_options: 'passwords are proven by SCRAM, for which a directory has nothing',
  application_name_add_host: 'the address of the client is in the log, the audit trail and SHOW CLIENTS',
  autodb_idle_timeout: 'the pool of a database goes when it is empty',
  cancel_wait_timeout: 'a cancel request opens a connection of its own',
  client_tls_ciphers: CIPHERS,
  client_tls13_ciphers: CIPHERS,
  client_tls_protocols: CIPHERS,
  client_tls_dheparams: CIPHERS,
  client_tls_ecdhcurve: CIPHERS,
  server_tls_ciphers: CIPHERS,
  server_tls13_ciphers: CIPHERS,
  server_tls_protocols: CIPHERS,
  server_tls_key_file:
    "the gateway makes a certificate for each role: login: { kind: 'certificate', ca, key }",
  server_tls_cert_file:
    "the gateway makes a certificate for each role: login: { kind: 'certificate', ca, key }",
  conffile: 'the gateway reads its own config again when that changes',
  unix_socket_mode: SOCKETS,
  unix_socket_group: SOCKETS,
  disable_pqexec: 'statements are refused by a plugin with onQuery',
  dns_max_ttl: DNS,
  dns_nxdomain_ttl: DNS,
  dns_zone_check_period: DNS,
  resolv_conf: DNS,
  job_name: PROCESS,
  service_name: PROCESS,
  pidfile: PROCESS,
  user: PROCESS,
  listen_backlog: TCP,
  tcp_defer_accept: TCP,
  tcp_socket_buffer: TCP,
  tcp_keepalive: TCP,
  tcp_keepcnt: TCP,
  tcp_keepidle: TCP,
  tcp_keepintvl: TCP,
  tcp_user_timeout: TCP,
  pkt_buf: TCP,
  sbuf_loopcnt: TCP,
  so_reuseport: 'one process serves all cores; several gateways stand behind a balancer',
  peer_id: PEERS,
  log_connections: LOG,
  log_disconnections: LOG,
  log_pooler_errors: LOG,
  log_stats: STATISTICS,
  stats_period: STATISTICS,
  logfile: LOG,
  syslog: LOG,
  syslog_facility: LOG,
  syslog_ident: LOG,
  verbose: LOG,
  max_client_conn: 'sessions are limited by subject, tenant, role or database: limits({ maxConnections })',
  max_db_client_connections: 'limits({ maxConnections: { database } }) is for each database alike',
  max_user_client_connections: 'limits({ maxConnections: { subject } })',
  max_user_connections: 'connections of a role are limited in each database by pool.perRole',
  max_packet_size: 'messages are relayed in pieces, however long they are',
  max_prepared_statements: 'prepared statements work in transaction mode, without a limit',
  server_check_query: CHECKS,
  server_check_delay: CHECKS,
  server_connect_timeout: 'a connection is given up after 5 seconds, a login after 10',
  server_fast_close:
    'RECONNECT closes idle connections at once, and others at the end of their transaction or session',
  server_login_retry: 'after a refused login the gateway waits longer and longer by itself',
  server_reset_query: 'what a session leaves is found and undone: pool.reset, pool.detect',
  server_round_robin: 'the connection that was used last is used first',
  scram_iterations: 'the verifier of a user says it',
  suspend_timeout: 'SUSPEND waits for the end of messages only',
  track_extra_parameters: 'all parameters that a client sets are kept with it',
  transaction_timeout: "SET transaction_timeout on the server's side: ALTER ROLE … SET",
});

/** Keys of a connection string in [databases]. */
export const NO_EQUIVALENT_OF_DATABASE: ReadonlyMap<string, string> = textsOf({
  connect_query: 'no SQL is run on a new connection: ALTER ROLE … SET, or startup: { default } for settings',
  auth_dbname: 'passwords({ query: { database } }) says which database is asked',
  auth_query: 'the function of passwords({ query }) is asked',
  load_balance_hosts: "target: 'any' spreads sessions over all hosts",
  max_db_client_connections: 'limits({ maxConnections: { database } }) is for each database alike',
});
