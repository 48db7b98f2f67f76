/**
 * The least that a Node program between clients and PostgreSQL does: the gateway's own reading and writing (`core/net`), and nothing that a
 * gateway is for. A process of its own: gets {@link FloorOptions}, says its port, ends with its parent.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { relay } from './relay.ts';
import { pool } from './pool.ts';

/** What it is told. */
export interface FloorOptions {
  /** One server connection per client, or some for all, given per transaction; then clients log in with a token. */
  readonly mode: 'session' | 'transaction';
  readonly size: number;
  /** Files of certificate and key, where clients talk TLS. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  readonly server: {
    readonly host: string;
    readonly port: number;
    readonly user: string;
    readonly password: string;
    readonly database: string;
  };
  /** The issuer's public keys. */
  readonly jwks: { readonly keys: readonly object[] };
}

process.on('disconnect', () => process.exit(0));
const [options] = (await once(process, 'message')) as [FloorOptions];
const listening = options.mode === 'session' ? relay(options) : await pool(options);
listening.once('listening', () => process.send?.((listening.address() as AddressInfo).port));
