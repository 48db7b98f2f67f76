/** Headers of the PROXY protocol as a proxy would send them, and wrong ones. */

/** What version 2 begins with (PROXY protocol, 2.2). */
export const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');

/** A line of version 1. */
export function lineV1(text: string): Buffer {
  return Buffer.from(`${text}\r\n`, 'latin1');
}

/** What {@link headerV2} may be told. */
export interface HeaderV2 {
  /** Version and command. Default: PROXY. */
  readonly command?: number;
  /** Family and transport. Default: TCP over IPv4. */
  readonly family?: number;
  /** Addresses and ports. Default: 192.0.2.7:4711 to 192.0.2.8:6432. */
  readonly addresses?: Buffer;
  /** Extensions behind them. */
  readonly extensions?: Buffer;
  /** Adds the extension with the checksum. Default false. */
  readonly checksum?: boolean;
  /** Default: what really follows. */
  readonly length?: number;
}

/** Both ports behind both addresses, as TCP over IPv4 and IPv6 has them. */
export function endpoints(source: Buffer, destination: Buffer, from = 4711, to = 6432): Buffer {
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(from, 0);
  ports.writeUInt16BE(to, 2);
  return Buffer.concat([source, destination, ports]);
}

/** One extension (TLV). */
export function extension(type: number, value: Buffer): Buffer {
  const head = Buffer.alloc(3);
  head.writeUInt8(type, 0);
  head.writeUInt16BE(value.length, 1);
  return Buffer.concat([head, value]);
}

const V4 = endpoints(Buffer.from([192, 0, 2, 7]), Buffer.from([192, 0, 2, 8]));

/** A header of version 2. */
export function headerV2(options: HeaderV2 = {}): Buffer {
  const { command = 0x21, family = 0x11, addresses = V4, extensions = Buffer.alloc(0) } = options;
  const checksum = options.checksum ? extension(0x03, Buffer.alloc(4)) : Buffer.alloc(0);
  const rest = Buffer.concat([addresses, extensions, checksum]);
  const head = Buffer.from([command, family, 0, 0]);
  head.writeUInt16BE(options.length ?? rest.length, 2);
  const header = Buffer.concat([V2_SIGNATURE, head, rest]);
  if (options.checksum) header.writeUInt32BE(crc32c(header), header.length - 4);
  return header;
}

/** CRC-32C, bit by bit from the highest (RFC 3720 B.4): written otherwise than in the gateway. */
export function crc32c(bytes: Buffer): number {
  const mirrored = (value: number, bits: number): number => {
    let out = 0;
    for (let bit = 0; bit < bits; bit += 1) out = out * 2 + ((value >>> bit) & 1);
    return out;
  };
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc = (crc ^ (mirrored(byte, 8) << 24)) >>> 0;
    for (let bit = 0; bit < 8; bit += 1) {
      crc = (crc & 0x80000000 ? (crc << 1) ^ 0x1edc6f41 : crc << 1) >>> 0;
    }
  }
  return mirrored(~crc >>> 0, 32);
}
