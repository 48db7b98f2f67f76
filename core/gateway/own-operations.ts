/** Orders that plugins pass on: what one begins, such as a reload or a server connection, is the gateway's doing and not the plugin's. */
import type { Operations } from '../contract/operations.ts';
import { outsidePlugins } from '../hooks/plugin-calls.ts';

const own =
  <A extends readonly unknown[], R>(verb: (...args: A) => R) =>
  (...args: A): R =>
    outsidePlugins(() => verb(...args));

/** The same verbs, whoever calls them. */
export function ownOperations(operations: Operations): Operations {
  return {
    known: own((name) => operations.known(name)),
    pause: own((by, name, signal) => operations.pause(by, name, signal)),
    resume: own((by, name) => operations.resume(by, name)),
    disable: own((by, name) => operations.disable(by, name)),
    enable: own((by, name) => operations.enable(by, name)),
    reconnect: own((by, name) => operations.reconnect(by, name)),
    waitClose: own((by, name, signal) => operations.waitClose(by, name, signal)),
    suspend: own((by, signal, left) => operations.suspend(by, signal, left)),
    shutDown: own((by, after) => operations.shutDown(by, after)),
    kill: own((by, name) => operations.kill(by, name)),
    endSession: own((by, id) => operations.endSession(by, id)),
    reload: own((by) => operations.reload(by)),
  };
}
