/**
 * Reads lists of revoked certificates (CRL, RFC 5280 §5), and finds out whose they are. The parser of `@peculiar/asn1-x509` 2.11 loses
 * every entry of a list without `nextUpdate`, which OpenSSL takes, and holds up all sessions for seconds with long lists.
 */
import { verify } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import type { ClientCertificate } from '../contract/session.ts';
import { DerError, derContent, derInside, derIntegerHex, derOid, derTime, derWhole, Tag } from './der.ts';
import type { DerValue } from './der.ts';
import { DistinguishedName } from './distinguished-name.ts';

/** Digests of signature algorithms (RFC 5758, RFC 8017, RFC 8410); null where the key has its own. */
const DIGESTS: Readonly<Record<string, string | null>> = {
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.3.101.112': null,
  '1.3.101.113': null,
};

/** One list. */
export class RevocationList {
  /** As in {@link ClientCertificate}. */
  readonly issuer: string;
  /** From then on OpenSSL takes no certificate of this issuer. Undefined: never. */
  readonly nextUpdate: Date | undefined;
  readonly #serialNumbers: ReadonlySet<string>;
  readonly #signed: Buffer;
  readonly #digest: string | null | undefined;
  readonly #signature: Buffer;

  /** @throws DerError */
  constructor(der: Buffer) {
    const [list, algorithm, signature] = derInside(derWhole(der));
    const fields = derInside(list);
    // The version is there in all but the first one.
    const [, issuer, , ...rest] = fields[0]?.tag === Tag.integer ? fields.slice(1) : fields;
    this.issuer = new DistinguishedName(issuer).toString();
    const next = rest.find(({ tag }) => tag === Tag.utcTime || tag === Tag.generalizedTime);
    this.nextUpdate = next && derTime(next);
    this.#serialNumbers = new Set(serialNumbersOf(rest.find(({ tag }) => tag === Tag.sequence)));
    this.#signed = list?.encoded ?? Buffer.alloc(0);
    this.#digest = DIGESTS[derOid(derInside(algorithm)[0])];
    const bits = derContent(signature, Tag.bitString);
    if (bits[0] !== 0) throw new DerError('a signature that does not fill its octets');
    this.#signature = bits.subarray(1);
  }

  /** Whether it revokes a certificate; `false` for one of another issuer. */
  revokes({ issuer, serialNumber }: Pick<ClientCertificate, 'issuer' | 'serialNumber'>): boolean {
    return issuer === this.issuer && this.#serialNumbers.has(serialNumber);
  }

  /** Whether an authority has signed it. Undefined: its algorithm is not known here. */
  signedBy({ publicKey }: X509Certificate): boolean | undefined {
    if (this.#digest === undefined) return undefined;
    try {
      return verify(this.#digest, this.#signed, publicKey, this.#signature);
    } catch {
      // A key of another kind than the signature's.
      return false;
    }
  }
}

function serialNumbersOf(revoked: DerValue | undefined): readonly string[] {
  return revoked ? derInside(revoked).map((entry) => derIntegerHex(derInside(entry)[0])) : [];
}
