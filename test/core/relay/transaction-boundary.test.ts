import { expect, test } from 'vitest';
import { Status, boundary } from '../../../core/relay/transaction-boundary.ts';
import type {
  BoundaryState,
  Obstacle,
  Reader,
  ServerFitness,
} from '../../../core/relay/transaction-boundary.ts';

/** What a row says of a session; everything else is at rest. */
type Row = {
  readonly [Part in keyof BoundaryState]?: Partial<BoundaryState[Part]>;
};

const NO_CHANGES = { dirty: false, left: 'nothing' } as const;

function stateOf(row: Row): BoundaryState {
  return {
    outstanding: {
      unfinished: undefined,
      status: Status.idle,
      fatal: false,
      outOfSync: false,
      batch: { unsafe: false },
      ...row.outstanding,
    },
    queryHook: { discarding: false, ...row.queryHook },
    fromClient: { position: 'boundary', ...row.fromClient },
    fromServer: { position: 'boundary', ...row.fromServer },
    sessionEnd: { decided: false, cancelling: false, lateCancelPossible: false, ...row.sessionEnd },
    pauses: { full: false, ...row.pauses },
    link: { state: 'linked', pinned: undefined, changes: NO_CHANGES, ...row.link },
  };
}

const READERS: readonly Reader[] = ['check-in', 'drain', 'end', 'cancel', 'next message'];

/** What each reader is told, in the order of {@link READERS}: an obstacle, or what the connection is fit for. */
type Answers = readonly (Obstacle | ServerFitness)[];

/** One answer for all readers. */
const all = (answer: Obstacle | ServerFitness): Answers => READERS.map(() => answer);
/** A CancelRequest would stop nothing. */
const butCancel = (answer: Obstacle): Answers => [answer, answer, answer, 'clean', answer];

const ROWS: readonly (readonly [rule: string, row: Row, answers: Answers])[] = [
  ['everything is at rest', {}, all('clean')],
  ['answers are outstanding', { outstanding: { unfinished: 'answers' } }, all('answers')],
  [
    'extended messages were answered and no Sync came: a transaction may be open whatever the status says',
    { outstanding: { unfinished: 'unsynced' } },
    butCancel('unsynced'),
  ],
  ['the server skips to a Sync', { outstanding: { unfinished: 'skipping' } }, butCancel('skipping')],
  ['a COPY reads', { outstanding: { unfinished: 'copy' } }, butCancel('copy')],
  [
    'a COPY failed, and which answers are owed is not known',
    { outstanding: { unfinished: 'uncertain', outOfSync: true } },
    all('uncertain'),
  ],
  ['a transaction is open', { outstanding: { status: Status.transaction } }, butCancel('open transaction')],
  ['a transaction has failed', { outstanding: { status: Status.failed } }, butCancel('open transaction')],
  [
    'a message of a batch was refused here, its Sync has not come',
    { queryHook: { discarding: true } },
    ['refused batch', 'refused batch', 'clean', 'clean', 'clean'],
  ],
  [
    'half a message of the client is here: nobody reads FATAL in it, and a slow writer holds no server',
    { fromClient: { position: 'partial' } },
    ['clean', 'client message', 'clean', 'clean', 'clean'],
  ],
  [
    'a hook decides about a message',
    { fromClient: { position: 'deciding' } },
    ['client message', 'client message', 'clean', 'clean', 'clean'],
  ],
  [
    'the server has half a message: nobody gets that connection',
    { fromClient: { position: 'midMessage' } },
    ['client message', 'client message', 'client message', 'clean', 'clean'],
  ],
  [
    'half a message of the server is here',
    { fromServer: { position: 'partial' } },
    ['server message', 'clean', 'server message', 'clean', 'clean'],
  ],
  [
    'the client has half a message of the server',
    { fromServer: { position: 'midMessage' } },
    ['server message', 'server message', 'server message', 'clean', 'clean'],
  ],
  [
    'the server has not taken all that was written',
    { pauses: { full: true } },
    ['server full', 'clean', 'clean', 'clean', 'clean'],
  ],
  [
    'a cancel is under way: it would hit the next session',
    { sessionEnd: { cancelling: true } },
    ['cancel', 'clean', 'clean', 'clean', 'clean'],
  ],
  ['a cancel may hit late', { sessionEnd: { lateCancelPossible: true } }, all('close')],
  [
    'how the session ends is decided',
    { sessionEnd: { decided: true } },
    ['end', 'clean', 'clean', 'clean', 'clean'],
  ],
  [
    'FATAL has passed: the next statement must not run elsewhere',
    { outstanding: { fatal: true } },
    ['fatal', 'clean', 'clean', 'clean', 'clean'],
  ],
  [
    'the connection is pinned',
    { link: { pinned: 'LISTEN', changes: { dirty: true, left: 'nothing' } } },
    ['pinned', 'dirty', 'dirty', 'dirty', 'dirty'],
  ],
  ['a command may have left state', { link: { changes: { dirty: true, left: 'nothing' } } }, all('dirty')],
  ['functions may have left state', { link: { changes: { dirty: false, left: 'state' } } }, all('suspect')],
  [
    'functions may have taken values of sequences',
    { link: { changes: { dirty: false, left: 'sequences' } } },
    all('sequences'),
  ],
  [
    'a command and functions may have left state',
    { link: { changes: { dirty: true, left: 'sequences' } } },
    all('dirty'),
  ],
  ['the server answered out of order once', { outstanding: { outOfSync: true } }, all('close')],
  ['a Query stood in a batch without its Sync', { outstanding: { batch: { unsafe: true } } }, all('close')],
  ['settings of policies are being set', { link: { state: 'applying' } }, all('close')],
];

test.each(ROWS)('%s', (_rule, row, answers) => {
  const told = READERS.map((reader) => {
    const at = boundary(stateOf(row), reader);
    return at.free ? at.server : at.why;
  });
  expect(told).toEqual(answers);
});

test('an obstacle is told whatever the connection is fit for', () => {
  const state = stateOf({
    outstanding: { unfinished: 'answers', outOfSync: true },
    link: { changes: { dirty: true, left: 'nothing' } },
  });
  expect(READERS.map((reader) => boundary(state, reader).free)).toEqual(READERS.map(() => false));
});

test('the answers are made once: a session asks after each of its steps', () => {
  for (const [, row] of ROWS)
    for (const reader of READERS) expect(boundary(stateOf(row), reader)).toBe(boundary(stateOf(row), reader));
});
