/** One end of the channel between a worker and its parent process. */

/** What is sent arrives in order, or the channel is lost and its worker with it. */
export interface Port<Out> {
  /** `handle` is that of a socket, which travels with the message. */
  send(message: Out, handle?: object): void;
}
