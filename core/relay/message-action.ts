/** The bytes that are sent to the server in place of a client's message. */

import type { GatewayError } from '../contract/errors.ts';
import type { RequestObserver } from './requests/request-queue.ts';
import { isCutOff } from './prepared/statement-names.ts';

/** The changed beginning of a longer message; the rest of it is forwarded as it arrives. */
export class Streamed {
  readonly head: Buffer;

  constructor(head: Buffer) {
    this.head = head;
  }
}

/** Bytes to send in place of a message: the message itself if it is unchanged, undefined if nothing is sent. */
export type MessageAction = Buffer | Streamed | undefined;

/** The same with `first` in front of it; `frame` is the client's message. */
export function preceded(first: Buffer, action: MessageAction, frame: Buffer): MessageAction {
  if (action instanceof Streamed) return new Streamed(Buffer.concat([first, action.head]));
  const bytes = Buffer.concat([first, ...(action ? [action] : [])]);
  return action === frame && isCutOff(frame) ? new Streamed(bytes) : bytes;
}

/** The treatment of one message that needs more than forwarding. */
export type Step =
  | { readonly next: 'pass' }
  /** Wait until so many bytes of the message have arrived. */
  | { readonly next: 'hold'; readonly bytes: number }
  /** The message is not sent. */
  | { readonly next: 'drop' }
  /** A whole Bind is sent for the prepared statement with another name. */
  | { readonly next: 'rename'; readonly own: string }
  /** Other bytes, or none, are sent in its place, perhaps later. */
  | { readonly next: 'replace'; readonly by: MessageAction | Promise<MessageAction>; readonly frame?: Buffer }
  | { readonly next: 'stop' };

/** The message is sent unchanged. */
export const PASS: Step = { next: 'pass' };
/** The message is not sent. */
export const DROP: Step = { next: 'drop' };
/** No further message is read. */
export const STOP: Step = { next: 'stop' };

/** The plan for a message: send bytes and observe their answers, answer it in the gateway, or refuse it. */
export type Plan =
  | {
      readonly kind: 'send';
      readonly bytes: Buffer;
      readonly observer?: RequestObserver | undefined;
      /** The bytes end with a Describe of the gateway, which has this observer. */
      readonly described?: RequestObserver | undefined;
    }
  | { readonly kind: 'answer'; readonly observer: RequestObserver }
  | { readonly kind: 'refuse'; readonly error: GatewayError };
