/** The server's description of a prepared statement, and when two descriptions are the same. */
import { createHash } from 'node:crypto';
import { Backend } from '../../wire/frames.ts';
import type { RequestObserver } from '../requests/request-queue.ts';

/** Parameter types, and a mark that is equal for equal parameters and columns. */
export interface Description {
  /** Their number and their object ids, as at the end of a Parse. */
  readonly types: Buffer;
  readonly fingerprint: string;
}

const NO_DATA = Buffer.from('no data');
/** In each field of a RowDescription, behind its name: table and column, which do not count; type, its length, type modifier; format. */
const [ORIGIN_BYTES, TYPE_BYTES, FORMAT_BYTES] = [6, 10, 2];

/**
 * The columns as PostgreSQL compares them when it plans a statement again (equalTupleDescs and equalRowTypes of tupdesc.c): names, types and
 * type modifiers, in their order. Collations count there too; no message shows them. Undefined where the message is malformed.
 */
function columnsOf(row: Buffer): Buffer | undefined {
  if (row.length < 2) return undefined;
  const parts = [row.subarray(0, 2)];
  let at = 2;
  for (let left = row.readUInt16BE(0); left > 0; left -= 1) {
    const end = row.indexOf(0, at) + 1;
    if (end === 0 || row.length < end + ORIGIN_BYTES + TYPE_BYTES + FORMAT_BYTES) return undefined;
    parts.push(row.subarray(at, end), row.subarray(end + ORIGIN_BYTES, end + ORIGIN_BYTES + TYPE_BYTES));
    at = end + ORIGIN_BYTES + TYPE_BYTES + FORMAT_BYTES;
  }
  return at === row.length ? Buffer.concat(parts) : undefined;
}

/** By the bodies of a ParameterDescription and a RowDescription, which is absent for NoData. Undefined where they are malformed. */
export function descriptionOf(types: Buffer, row: Buffer | undefined): Description | undefined {
  const columns = row ? columnsOf(row) : NO_DATA;
  if (!columns || types.length < 2 || types.length !== 2 + 4 * types.readUInt16BE(0)) return undefined;
  const hash = createHash('sha256').update(types).update(columns).digest('base64');
  return { types: Buffer.from(types), fingerprint: hash.slice(0, 22) };
}

/** Observes a Describe of a prepared statement. */
export class DescribeObserver implements RequestObserver {
  readonly describes = true;
  /** The client's next message would have failed in the same way. */
  readonly showsError = true;
  readonly #told: (description: Description | undefined) => void;
  readonly #failed: () => void;
  #types: Buffer | undefined;
  #description: Description | undefined;

  /** `told` is called with the description, undefined if it could not be read; `failed` if the server gives none. */
  constructor(told: (description: Description | undefined) => void, failed: () => void = () => {}) {
    this.#told = told;
    this.#failed = failed;
  }

  answered(type: number, bytes: number, body: Buffer | undefined): void {
    if (type === Backend.parameterDescription) this.#types = body && Buffer.from(body);
    if (type !== Backend.rowDescription && type !== Backend.noData) return;
    const isWhole = type === Backend.noData || body?.length === bytes - 5;
    if (this.#types && isWhole) this.#description = descriptionOf(this.#types, body);
  }

  closed(): void {
    this.#told(this.#description);
  }

  dropped(): void {
    this.#failed();
  }
}
