/** Who did what, when and from where, in lines that cannot be changed unseen: logins, refusals, statements, operators. */
import { GatewayError } from '../../core/index.ts';
import type { AnyPlugin, Events, Observers, Plugin, Session } from '../../core/index.ts';
import { optionsOf } from './options.ts';
import type { AuditOptions } from './options.ts';
import { Parameters } from './parameters.ts';
import { Recorder } from './record.ts';
import { shareTrail } from './shared-trail.ts';
import type { Trail } from './trail.ts';
import { verifyCommand } from './verify-command.ts';

export type { AuditOptions, FileSinkOptions, OtlpSinkOptions, RotateOptions } from './options.ts';

const HINT = 'Try again later: the operators of the gateway see why.';
const UNWRITTEN = 'the audit trail cannot be written';
const refused = (): GatewayError => new GatewayError('cannot_connect_now', UNWRITTEN, { hint: HINT });
const ended = (): GatewayError => new GatewayError('admin_shutdown', UNWRITTEN, { hint: HINT });

/** A client that leaves before it is logged in, as psql does to ask for the password, has no login and no logout of its own. */
function left(event: Events['close']): Events['login'] {
  const error = new GatewayError('connection_failure', 'the client left before it was logged in');
  return { ...event, error, sqlstate: error.sqlstate };
}

function observersOf(
  recorder: Recorder,
  parameters: Parameters | undefined,
  tell: (line: string) => void,
): Observers {
  const inside = new WeakSet<Session>();
  return {
    login(event) {
      if (event.sqlstate === undefined) inside.add(event.session);
      tell(recorder.login(event));
    },
    discovery: (event) => tell(recorder.discovery(event)),
    statement: (event) => tell(recorder.statement(event, parameters?.take(event.session, event.id))),
    renewal: (event) => tell(recorder.renewal(event)),
    close(event) {
      // These have their lines already.
      if (event.reason.kind === 'refused' || event.reason.kind === 'discovery') return;
      tell(inside.has(event.session) ? recorder.logout(event) : recorder.login(left(event)));
    },
    refused: (event) => tell(recorder.refusal(event)),
    revocation: (event) => tell(recorder.revocation(event)),
    operator: (event) => tell(recorder.operator(event)),
    access: (event) => tell(recorder.access(event)),
  };
}

/** Parameters are seen in Bind messages, which are held and assembled for that. */
function parameterHooks(parameters: Parameters): Pick<AnyPlugin, 'reads' | 'onQuery'> {
  return {
    reads: 'parameters',
    onQuery(session, statement) {
      parameters.see(session, statement);
    },
  };
}

/**
 * Writes one line per login, refusal, statement, renewal, revocation and operator's order into a chain of hashes: `postern audit verify` finds
 * every line that was changed, removed or added.
 *
 * @place 1 first, so that it refuses before any other plugin runs while its sink fails
 * @throws ConfigError that names the option, such as `audit.sink.file`
 * @example audit({ sink: { file: 'audit/audit.jsonl', rotate: { age: '1d', keep: 400 } }, key: file('audit.key') })
 */
export function audit(options: AuditOptions): Plugin<never, never, 'audit'> {
  const checked = optionsOf(options);
  const sessions = new Set<Session>();
  const recorder = new Recorder(checked.statements);
  const parameters = checked.parameters ? new Parameters() : undefined;
  let trail: Trail | undefined;
  return {
    name: 'audit',
    options,
    commands: { 'audit verify': verifyCommand(checked.key) },
    async setup(gateway) {
      const shared = await shareTrail(checked, gateway);
      trail = shared.trail;
      gateway.ready(() => {
        if (shared.trail.problem === undefined) return undefined;
        return checked.failClosed ? UNWRITTEN : { note: UNWRITTEN };
      });
      if (!checked.failClosed) return shared.leave;
      const unhear = shared.trail.onFailure(() => {
        for (const session of sessions) session.end(ended());
      });
      return async (late) => {
        await shared.leave(late);
        unhear();
      };
    },
    onStartup(session) {
      if (!checked.failClosed) return;
      if (trail?.problem !== undefined) throw refused();
      sessions.add(session);
      session.defer(() => void sessions.delete(session));
    },
    ...(parameters && parameterHooks(parameters)),
    on: observersOf(recorder, parameters, (line) => trail?.record(line)),
  };
}
