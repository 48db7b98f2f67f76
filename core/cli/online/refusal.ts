/** Why a server connection could not be had, in a sentence for whoever prepares the server. */
import { GatewayError } from '../../contract/errors.ts';
import { innermost, whyNoCredentials } from '../../upstream/refusals.ts';

/** As `describeRefusal` writes it. */
const SAID = /^the server said (\w{5}): ([^]*)$/;

/** By SQLSTATE, in front of the server's own message. */
const SENTENCES: Readonly<Record<string, string>> = {
  '28P01': 'the server refuses the password',
  '28000': 'the server refuses the role',
  '3D000': 'there is no such database on the server',
  '42501': 'the role may not connect to the database',
  '53300': 'the server has no connection left at the moment',
  '57P03': 'the server takes no connections yet',
};

/** Of Node's TLS, as https://nodejs.org/api/tls.html#x509-certificate-error-codes has them. */
const UNTRUSTED = /SELF_SIGNED_CERT|UNABLE_TO_(?:GET_ISSUER_CERT|VERIFY_LEAF)/;

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const inner = codeOf(error.cause);
  return inner !== '' || error instanceof GatewayError || !('code' in error) ? inner : String(error.code);
}

function ofServer(sqlstate: string, message: string): string {
  if (sqlstate === '28000' && message.includes('pg_hba.conf'))
    return `pg_hba.conf of the server does not let the gateway in: ${message} (postern sql roles prints the lines it needs)`;
  return `${SENTENCES[sqlstate] ?? `the server refuses the login with ${sqlstate}`}: ${message}`;
}

/** The sentence. It has no secret: messages of servers and of the system are all that it is made of. */
export function whyRefused(error: unknown): string {
  const credentials = whyNoCredentials(error);
  if (credentials !== undefined) return credentials;
  const reason = innermost(error);
  const [, sqlstate, message] = SAID.exec(reason) ?? [];
  if (sqlstate !== undefined && message !== undefined) return ofServer(sqlstate, message);
  const code = codeOf(error);
  if (UNTRUSTED.test(code))
    return `the certificate of the server is of no known authority (${reason}): name the file of its authority in tls.ca`;
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `the certificate of the server is for another name (${reason}): see tls.servername`;
  return reason;
}

/** Whether no server was reached, so that another login would meet the same. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof GatewayError && error.code === 'sqlclient_unable_to_establish_sqlconnection';
}
