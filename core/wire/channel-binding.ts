/** The hash of a server's certificate that binds a SCRAM login to its TLS connection (RFC 5929, section 4.1). */
import { createHash } from 'node:crypto';

/** Hash by the object identifier of the signature algorithm, DER in hex; md5 and sha1 count as sha256. */
const SIGNATURES: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256', // md5WithRSAEncryption
  '2a864886f70d010105': 'sha256', // sha1WithRSAEncryption
  '2a864886f70d01010b': 'sha256', // sha256WithRSAEncryption
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2a864886f70d01010e': 'sha224',
  '2a8648ce3d0401': 'sha256', // ecdsa-with-SHA1
  '2a8648ce3d040301': 'sha224',
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
};

/** RSASSA-PSS says its hash in its parameters (RFC 4055, section 3.1). */
const PSS = '2a864886f70d01010a';

/** Hash by the object identifier of the hash algorithm in RSASSA-PSS parameters. */
const HASHES: Readonly<Record<string, string>> = {
  '2b0e03021a': 'sha256', // sha1
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
  '608648016503040204': 'sha224',
};

/**
 * The tls-server-end-point of a certificate in DER (RFC 5929 §4).
 * Undefined where its signature has no hash of its own or an unknown one. Such a login goes unbound, and must: with an
 * Ed25519 certificate PostgreSQL 18 offers the binding and then fails on it ("could not find digest for NID UNDEF").
 */
export function serverEndPoint(certificate: Buffer): Buffer | undefined {
  const algorithm = signatureHash(certificate);
  return algorithm === undefined ? undefined : createHash(algorithm).update(certificate).digest();
}

/** Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm SEQUENCE { OID, parameters }, signature } */
function signatureHash(certificate: Buffer): string | undefined {
  const [, algorithm] = children(children(certificate)[0]);
  const [oid, parameters] = children(algorithm);
  const name = oid?.toString('hex') ?? '';
  return name === PSS ? pssHash(parameters) : SIGNATURES[name];
}

/** RSASSA-PSS-params ::= SEQUENCE { [0] SEQUENCE { OID of the hash, … }, … }; without [0] it is sha1. */
function pssHash(parameters: Buffer | undefined): string | undefined {
  const [first] = children(parameters);
  const [oid] = children(children(first)[0]);
  return HASHES[oid?.toString('hex') ?? '2b0e03021a'];
}

/** Contents of the DER elements in a row; what is malformed ends the list. */
function children(row: Buffer | undefined): Buffer[] {
  const contents: Buffer[] = [];
  let rest = row ?? Buffer.alloc(0);
  for (let size = header(rest); size; size = header(rest)) {
    contents.push(rest.subarray(size.head, size.head + size.length));
    rest = rest.subarray(size.head + size.length);
  }
  return contents;
}

function header(row: Buffer): { head: number; length: number } | undefined {
  const short = row[1];
  if (short === undefined) return undefined;
  const octets = short < 0x80 ? 0 : short & 0x7f;
  if (octets > 4 || row.length < 2 + octets || short === 0x80) return undefined;
  const head = 2 + octets;
  const length = octets === 0 ? short : row.readUIntBE(2, octets);
  return head + length > row.length ? undefined : { head, length };
}
