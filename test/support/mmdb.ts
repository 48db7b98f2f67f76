/** Writes databases in MaxMind's format (MaxMind DB 2.0), so that no test needs one of somebody else. */
import { parseNetwork } from '../../core/options/networks.ts';

/** A value of a record; whole numbers become uint32. */
export type MmdbValue =
  string | number | boolean | readonly MmdbValue[] | { readonly [key: string]: MmdbValue };

/** What {@link mmdb} may be told. */
export interface MmdbOptions {
  /** Default `'Test-Country'`. */
  readonly type?: string;
  /** A database of version 4 has no IPv6 addresses. Default 6. */
  readonly ipVersion?: 4 | 6;
  /** Of the file's format. Default 2. */
  readonly format?: number;
}

/** One side of a node: the next node, a record's place among the data, or nothing. */
type Side = TreeNode | { readonly data: number } | undefined;
type TreeNode = [Side, Side];

/** A database that knows these networks; of two that overlap the later one wins. */
export function mmdb(networks: Readonly<Record<string, MmdbValue>>, options: MmdbOptions = {}): Buffer {
  const { type = 'Test-Country', ipVersion = 6, format = 2 } = options;
  const root: TreeNode = [undefined, undefined];
  const data: Buffer[] = [];
  let length = 0;
  for (const [text, record] of Object.entries(networks)) {
    insert(root, bitsOf(text, ipVersion), { data: length });
    const bytes = encode(record);
    data.push(bytes);
    length += bytes.length;
  }
  const tree = treeOf(root);
  const metadata = encodeMap({
    node_count: encode(tree.nodes),
    record_size: unsigned(5, 2, 24),
    ip_version: unsigned(5, 2, ipVersion),
    database_type: encode(type),
    languages: encode([]),
    binary_format_major_version: unsigned(5, 2, format),
    binary_format_minor_version: unsigned(5, 2, 0),
    build_epoch: unsigned(9, 8, 1_700_000_000),
    description: encode({ en: 'for tests' }),
  });
  const mark = Buffer.from('\xab\xcd\xefMaxMind.com', 'latin1');
  return Buffer.concat([tree.bytes, Buffer.alloc(16), ...data, mark, metadata]);
}

function bitsOf(text: string, ipVersion: 4 | 6): readonly (0 | 1)[] {
  const { first, last } = parseNetwork(text);
  const own = first.flatMap((word, index) =>
    Array.from({ length: 32 }, (_, bit) => {
      const at = (value: number): 0 | 1 => (((value >>> (31 - bit)) & 1) === 1 ? 1 : 0);
      return at(word) === at(last[index] ?? 0) ? at(word) : undefined;
    }),
  );
  const bits = own.filter((bit) => bit !== undefined);
  // An IPv6 database has IPv4 at ::/96.
  return first.length === 1 && ipVersion === 6
    ? [...Array.from({ length: 96 }, () => 0 as const), ...bits]
    : bits;
}

function insert(node: TreeNode, [bit = 0, ...rest]: readonly (0 | 1)[], leaf: Side): void {
  if (rest.length === 0) {
    node[bit] = leaf;
    return;
  }
  const side = node[bit];
  const next: TreeNode = Array.isArray(side) ? side : [side, side];
  node[bit] = next;
  insert(next, rest, leaf);
}

function treeOf(root: TreeNode): { readonly bytes: Buffer; readonly nodes: number } {
  const nodes: TreeNode[] = [root];
  const numbers = new Map<TreeNode, number>([[root, 0]]);
  for (const node of nodes) {
    for (const side of node) {
      if (!Array.isArray(side)) continue;
      numbers.set(side, nodes.length);
      nodes.push(side);
    }
  }
  const bytes = Buffer.alloc(nodes.length * 6);
  for (const [place, node] of nodes.entries()) {
    for (const [index, side] of node.entries()) {
      const value = Array.isArray(side)
        ? (numbers.get(side) ?? 0)
        : nodes.length + (side === undefined ? 0 : 16 + side.data);
      bytes.writeUIntBE(value, place * 6 + index * 3, 3);
    }
  }
  return { bytes, nodes: nodes.length };
}

function head(type: number, size: number): Buffer {
  const [short, more] = size < 29 ? [size, []] : [29, [size - 29]];
  if (size >= 285) throw new Error('too long for this writer');
  return type > 7 ? Buffer.from([short, type - 7, ...more]) : Buffer.from([(type << 5) | short, ...more]);
}

function unsigned(type: number, bytes: number, value: number): Buffer {
  const body = Buffer.alloc(bytes);
  body.writeUIntBE(value, Math.max(bytes - 6, 0), Math.min(bytes, 6));
  return Buffer.concat([head(type, bytes), body]);
}

function encodeMap(members: Readonly<Record<string, Buffer>>): Buffer {
  const all = Object.entries(members).flatMap(([key, value]) => [encode(key), value]);
  return Buffer.concat([head(7, all.length / 2), ...all]);
}

function encode(value: MmdbValue): Buffer {
  if (typeof value === 'string') {
    const text = Buffer.from(value);
    return Buffer.concat([head(2, text.length), text]);
  }
  if (typeof value === 'number') return unsigned(6, 4, value);
  if (typeof value === 'boolean') return head(14, value ? 1 : 0);
  if (Array.isArray(value)) {
    const items = value as readonly MmdbValue[];
    return Buffer.concat([head(11, items.length), ...items.map(encode)]);
  }
  const members = Object.entries(value as Readonly<Record<string, MmdbValue>>);
  return encodeMap(Object.fromEntries(members.map(([key, one]) => [key, encode(one)])));
}
