/** Reads what a certificate says of its holder, from its DER: the texts that Node and OpenSSL print are not made to be parsed. */
import { createHash } from 'node:crypto';
import type { ClientCertificate } from '../contract/session.ts';
import { DerError, derContent, derInside, derIntegerHex, derOid, derTime, derWhole, Tag } from './der.ts';
import type { DerValue } from './der.ts';
import { DistinguishedName } from './distinguished-name.ts';

/** Context-specific tags of TBSCertificate (RFC 5280 §4.1). */
const [VERSION, EXTENSIONS] = [0xa0, 0xa3];
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17';
/** Context-specific tags of GeneralName (RFC 5280 §4.2.1.6). */
const [DNS_NAME, URI] = [0x82, 0x86];
/** Visible ASCII: the least that a DNS name and a URI have in common. */
const VISIBLE = /^[\x21-\x7e]+$/;

/**
 * Reads a certificate. Alternative names that have another character than visible ASCII in them are left out, as if they were not
 * there: what comes behind a zero byte must not be overlooked, and no name is more than one.
 * @param authority as in {@link ClientCertificate}
 * @throws DerError
 */
export function readCertificate(der: Buffer, authority?: string): ClientCertificate {
  const [tbs] = derInside(derWhole(der));
  const fields = derInside(tbs);
  const [serialNumber, , issuer, validity, subject, , ...rest] =
    fields[0]?.tag === VERSION ? fields.slice(1) : fields;
  const [, notAfter] = derInside(validity);
  const holder = new DistinguishedName(subject);
  const names = alternativeNames(rest.find(({ tag }) => tag === EXTENSIONS));
  return Object.freeze({
    sha256: createHash('sha256').update(der).digest('hex'),
    subject: holder.toString(),
    issuer: new DistinguishedName(issuer).toString(),
    serialNumber: derIntegerHex(serialNumber),
    commonNames: Object.freeze(holder.commonNames),
    dns: Object.freeze(namesOf(DNS_NAME, names)),
    uris: Object.freeze(namesOf(URI, names)),
    notAfter: derTime(notAfter),
    ...(authority !== undefined && { authority }),
  });
}

function alternativeNames(extensions: DerValue | undefined): readonly DerValue[] {
  if (!extensions) return [];
  const [list] = derInside(extensions, EXTENSIONS);
  const found = derInside(list)
    .map((extension) => derInside(extension))
    .filter(([id]) => derOid(id) === SUBJECT_ALTERNATIVE_NAME);
  if (found.length > 1) throw new DerError('two lists of alternative names');
  const [own] = found;
  return own ? derInside(derWhole(derContent(own.at(-1), Tag.octetString))) : [];
}

function namesOf(kind: number, names: readonly DerValue[]): readonly string[] {
  return names
    .filter(({ tag }) => tag === kind)
    .map(({ content }) => content.toString('latin1'))
    .filter((name) => VISIBLE.test(name));
}
