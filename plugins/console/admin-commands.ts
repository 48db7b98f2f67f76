/** What an operator may say in the console, and what is answered: PgBouncer's commands (its manual, "Admin console"). */
import { GatewayError, withoutTokens } from '../../core/index.ts';
import type { Command, Desk } from './command.ts';
import { discardCommand, resetCommand, setCommand, showParameter } from './parameter-commands.ts';
import { selectCommand, typesCommand } from './select.ts';
import { disableCommand, enableCommand, pauseCommand, resumeCommand } from './fleet-commands.ts';
import {
  beginCommand,
  closeCommand,
  commitCommand,
  deallocateCommand,
  releaseCommand,
  rollbackCommand,
  savepointCommand,
  unlistenCommand,
} from './session-commands.ts';
import { SHOWS } from './shows.ts';
import { statementsOf } from './words.ts';
import type { Words } from './words.ts';

type Order = (desk: Desk, name: string) => Promise<void> | void;

/** An order to a database that is named. @throws GatewayError `syntax_error` where it is not */
const toOne =
  (tag: string, what: string, order: Order) =>
  (words: Words): Command | undefined => {
    const name = words.name();
    if (name === undefined && words.over) throw new GatewayError('syntax_error', `${what} is required`);
    if (name === undefined || !words.over) return undefined;
    return { run: async (desk) => (await order(desk, name), { tag }) };
  };

type OrderToAll = (desk: Desk, name: string | undefined) => Promise<void> | void;

/** The same to one, or to all. */
const toAny =
  (tag: string, order: OrderToAll) =>
  (words: Words): Command | undefined => {
    const name = words.name();
    return words.over ? { run: async (desk) => (await order(desk, name), { tag }) } : undefined;
  };

/** An order without a name. */
const plain =
  (tag: string, order: (desk: Desk) => Promise<void> | void) =>
  (words: Words): Command | undefined =>
    words.over ? { run: async (desk) => (await order(desk), { tag }) } : undefined;

function shutdownCommand(words: Words): Command | undefined {
  const all = [
    ['WAIT_FOR_SERVERS', 'servers'],
    ['WAIT_FOR_CLIENTS', 'clients'],
  ] as const;
  const [, until] = all.find(([word]) => words.takes(word)) ?? [];
  if (!words.over) return undefined;
  return { run: ({ operations, operator }) => (operations.shutDown(operator, until), { tag: 'SHUTDOWN' }) };
}

/** By the first word. Undefined: what follows is not known. */
const COMMANDS: Readonly<Record<string, (words: Words) => Command | undefined>> = {
  SHOW: show,
  SELECT: select,
  PAUSE: pauseCommand,
  RESUME: resumeCommand,
  DISABLE: disableCommand,
  ENABLE: enableCommand,
  RECONNECT: toAny('RECONNECT', ({ operations, operator }, name) => operations.reconnect(operator, name)),
  WAIT_CLOSE: toAny('WAIT_CLOSE', ({ operations, operator, signal }, name) =>
    operations.waitClose(operator, name, signal),
  ),
  KILL: toOne('KILL', 'a database', ({ operations, operator }, name) => operations.kill(operator, name)),
  KILL_CLIENT: toOne('KILL_CLIENT', 'a client', ({ operations, operator }, id) =>
    operations.endSession(operator, id),
  ),
  SUSPEND: plain('SUSPEND', ({ operations, operator, signal, left }) =>
    operations.suspend(operator, signal, left),
  ),
  RELOAD: plain('RELOAD', ({ operations, operator }) => operations.reload(operator)),
  SHUTDOWN: shutdownCommand,
  SET: setCommand,
  RESET: resetCommand,
  DISCARD: discardCommand,
  BEGIN: (words) => beginCommand(words, 'BEGIN'),
  START: (words) => beginCommand(words, 'START TRANSACTION'),
  COMMIT: commitCommand,
  END: commitCommand,
  ROLLBACK: rollbackCommand,
  ABORT: rollbackCommand,
  SAVEPOINT: savepointCommand,
  RELEASE: releaseCommand,
  DEALLOCATE: deallocateCommand,
  CLOSE: closeCommand,
  UNLISTEN: unlistenCommand,
};

const HELP = `
\tSHOW HELP|${Object.keys(SHOWS).join('|')}
\tSET parameter = value
\tRELOAD
\tPAUSE [<database>]
\tPAUSE <database>|ALL FLEET [FOR <duration>]
\tRESUME [<database>]
\tRESUME <database>|ALL FLEET
\tDISABLE <database> [FLEET]
\tENABLE <database> [FLEET]
\tRECONNECT [<database>]
\tWAIT_CLOSE [<database>]
\tKILL <database>
\tKILL_CLIENT <id>
\tSUSPEND
\tSHUTDOWN
\tSHUTDOWN WAIT_FOR_SERVERS|WAIT_FOR_CLIENTS`;

const help: Command = {
  run: () => ({
    tag: 'SHOW',
    notice: { severity: 'NOTICE', code: '00000', message: 'Console usage', detail: HELP },
  }),
};

function show(words: Words): Command | undefined {
  return showParameter(words.copy()) ?? shown(words);
}

function shown(words: Words): Command | undefined {
  const name = words.name()?.toUpperCase() ?? '';
  if (!words.over) return undefined;
  if (name === 'HELP') return help;
  const found = Object.hasOwn(SHOWS, name) ? SHOWS[name] : undefined;
  if (!found) return undefined;
  return {
    columns: Object.entries(found.columns),
    run: ({ overview, database }) => found.answer(overview, database),
  };
}

/** `SELECT pools` is `SHOW POOLS`, as in PgBouncer. */
function select(words: Words): Command | undefined {
  return selectCommand(words.copy()) ?? typesCommand(words.copy()) ?? shown(words);
}

/** The longest text of a command that an error repeats, in characters. */
const LONGEST_SHOWN = 100;

function unknown(text: string): GatewayError {
  const whole = text.slice(0, 10 * LONGEST_SHOWN);
  const safe = withoutTokens(whole);
  const shown = safe.length > LONGEST_SHOWN ? `${safe.slice(0, LONGEST_SHOWN)}…` : safe;
  return new GatewayError('syntax_error', `invalid command '${shown}', use SHOW HELP;`);
}

function parse(words: Words, text: string): Command {
  const first = words.take();
  const word = first?.kind === 'word' ? first.text.toUpperCase() : '';
  const command = Object.hasOwn(COMMANDS, word) ? COMMANDS[word]?.(words) : undefined;
  if (command) return command;
  throw unknown(text);
}

/**
 * Reads the commands of a text, none for a text without one.
 * @throws GatewayError `syntax_error` if the console does not know one of them, whatever a database would make of it
 */
export function parseCommands(text: string): readonly Command[] {
  return statementsOf(text).map((words) => parse(words, text));
}
