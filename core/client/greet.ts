/** The first messages of a client: encryption requests in any order, then a startup packet or a cancel request. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ListenOptions } from '../contract/listen.ts';
import { GatewayError } from '../contract/errors.ts';
import type { Networks } from '../options/networks.ts';
import type { Client } from '../contract/session.ts';
import { greetingLength, parseGreeting, unsupportedProtocol } from '../wire/greeting.ts';
import type { Greeting } from '../wire/greeting.ts';
import { isLoopback } from './address.ts';
import type { Arrival } from './arrival.ts';
import { looksProxied } from './proxy-protocol.ts';
import { Reader } from './reader.ts';
import type { Secured, TlsTermination } from './tls.ts';

/** The options of the listener that greeting reads. */
export interface ListenerContext {
  readonly name: string;
  readonly plaintext: NonNullable<ListenOptions['plaintext']>;
  /** It is a unix socket. Default false. */
  readonly unix?: boolean;
  /** Absent: this listener speaks no TLS. */
  readonly tls?: TlsTermination | undefined;
  /** Networks whose connections must begin with a PROXY header. Absent: no connection may. */
  readonly proxies?: Networks | undefined;
}

/** The end of a greeting without a startup packet or a cancel request. */
type Dismissed =
  /** The client gets an ErrorResponse; `old`: in the format of protocols 1 and 2. */
  | { readonly kind: 'refused'; readonly error: GatewayError; readonly old: boolean }
  /** Not a PostgreSQL client: closed without a word, as PostgreSQL does. */
  | { readonly kind: 'dropped'; readonly why: string };

type Spoken = Extract<Greeting, { kind: 'startup' | 'cancel' }>;

/** The result of a greeting. */
export interface Introduction {
  /** Reads the channel the client goes on with: TLS or plain. */
  readonly reader: Reader;
  /** Absent on plaintext connections. */
  readonly tls?: Client['tls'];
  readonly said: Spoken | Dismissed;
}

interface Place {
  readonly reader: Reader;
  readonly tls?: Client['tls'];
  /** As in {@link Secured}. */
  readonly fault?: GatewayError | undefined;
}

/** First byte of a TLS record that carries a handshake (RFC 8446 §5.1). */
const TLS_HANDSHAKE = 0x16;
/** Second halves of the request codes: a second request is an unsupported protocol version, as in PostgreSQL. */
const REQUEST_MINOR = { ssl: 5679, gssenc: 5680 };
const YES = Buffer.from('S');
const NO = Buffer.from('N');

/**
 * Reads a new connection up to its startup packet (manual, 55.2.10 to 55.2.12).
 * Has no deadline of its own: destroying the channel ends it.
 * @throws ClientGone
 */
export async function greet(arrival: Arrival, listener: ListenerContext): Promise<Introduction> {
  let place = placeOf(arrival, listener);
  if (listener.tls && (await place.reader.peek()) === TLS_HANDSHAKE) {
    const secured = await takeOver(place.reader, listener.tls);
    place = placeIn(secured);
    if (!secured.alpn) return { ...place, said: dropped('direct TLS without ALPN "postgresql"') };
  }
  const asked = { ssl: place.reader !== arrival.reader, gssenc: false };
  for (;;) {
    const said = await nextGreeting(place.reader);
    if (place.fault && (said.kind === 'startup' || said.kind === 'cancel'))
      return { ...place, said: refused(place.fault) };
    if (said.kind === 'startup') return { ...place, said: admit(said, place, arrival, listener) };
    if (said.kind !== 'ssl' && said.kind !== 'gssenc') return { ...place, said };
    if (asked[said.kind])
      return { ...place, said: refused(unsupportedProtocol(1234, REQUEST_MINOR[said.kind])) };
    // Bytes behind the request were not encrypted and may come from an attacker (CVE-2021-23214).
    if (place.reader.buffered > 0) return { ...place, said: dropped('data behind an encryption request') };
    asked[said.kind] = true;
    if (said.kind === 'ssl' && listener.tls) {
      place = await startTls(place.reader, listener.tls);
      // As on PostgreSQL: one kind of encryption is enough.
      asked.gssenc = true;
    } else place.reader.channel.write(NO);
  }
}

/** Where the client has to show a certificate, a way that is encrypted has to say which. */
function placeOf({ reader, tls }: Arrival, listener: ListenerContext): Place {
  if (!tls) return { reader };
  const fault = listener.tls?.faultOf({ tls });
  return { reader, tls, fault };
}

async function startTls(reader: Reader, termination: TlsTermination): Promise<Place> {
  reader.release();
  reader.channel.halt();
  reader.channel.write(YES);
  // The read callback that brought the request must have returned before its socket changes hands.
  await nextTurn();
  return placeIn(await termination.secure(reader.channel));
}

async function takeOver(reader: Reader, termination: TlsTermination): Promise<Secured> {
  reader.release();
  reader.channel.halt();
  const first = reader.channel.takeKept();
  await nextTurn();
  return termination.secure(reader.channel, first);
}

function placeIn({ channel, servername, certificate, fault }: Secured): Place {
  const tls = {
    ...(servername === undefined ? {} : { servername }),
    ...(certificate && { certificateSha256: certificate.sha256, certificate }),
  };
  return { reader: new Reader(channel), tls, fault };
}

type Heard = Exclude<Greeting, { kind: 'unsupported' | 'silent' }> | Dismissed;

async function nextGreeting(reader: Reader): Promise<Heard> {
  const head = await reader.exactly(4);
  let length: number;
  try {
    length = greetingLength(head);
  } catch {
    if (looksProxied(head))
      return dropped('a PROXY header from an address that proxyProtocol.trusted does not name');
    return dropped('not a startup packet');
  }
  const rest = reader.exactly(length - 4);
  const packet = Buffer.concat([head, rest instanceof Promise ? await rest : rest]);
  try {
    const said = parseGreeting(packet);
    if (said.kind === 'silent') return dropped(said.why);
    if (said.kind !== 'unsupported') return said;
    const { major, minor } = said;
    return refused(unsupportedProtocol(major, minor), major === 1 || major === 2);
  } catch (error) {
    if (error instanceof GatewayError) return refused(error);
    throw error;
  }
}

/** Plaintext is refused before a password is asked: the client must not send one in the clear. */
function admit(
  said: Spoken,
  place: Place,
  { address }: Arrival,
  listener: ListenerContext,
): Spoken | Dismissed {
  if (place.tls) return said;
  if (listener.plaintext === 'loopback' && isLoopback(address)) return said;
  return refused(
    new GatewayError('invalid_authorization_specification', 'connections without TLS are not accepted', {
      hint: 'Connect with sslmode=require or stronger.',
    }),
  );
}

function refused(error: GatewayError, old = false): Dismissed {
  return { kind: 'refused', error, old };
}

function dropped(why: string): Dismissed {
  return { kind: 'dropped', why };
}
