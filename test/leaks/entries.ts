/** The pools that are put to the test: small ones, in both modes, some of them where connections break all the time. */

/** One entry of the gateway's `databases`, and who works there. */
export interface Entry {
  readonly name: string;
  readonly mode: 'session' | 'transaction';
  /** `pool.size`. */
  readonly size: number;
  /** PostgreSQL is reached through a proxy that cuts connections, and its backends are terminated. */
  readonly rough: boolean;
  /** Sessions at the same time. */
  readonly workers: number;
  /** Which role most sessions have; the others have any, and then connections are opened and closed. */
  readonly home: number;
  /** How likely a session is one of any role. */
  readonly strangers: number;
  /** Milliseconds between two sessions of a worker, at most: logins and new server connections cost more than check-outs. */
  readonly pause: number;
  /** How many different people of the home role come. */
  readonly crowd: number;
  /** A plugin tells SQL at each check-out who it is. Elsewhere nothing but the identity itself tells people apart. */
  readonly claims: boolean;
  /** What sessions do there. */
  readonly work: 'people' | 'cancels';
}

const calm = { rough: false, work: 'people', claims: true, crowd: 16, pause: 0 } as const;
const claimless = { ...calm, claims: false } as const;
const rough = { ...calm, rough: true, pause: 100 } as const;

/** All entries. */
export const entries: readonly Entry[] = [
  { name: 't1', mode: 'transaction', size: 1, workers: 6, home: 0, strangers: 0.002, ...calm },
  { name: 't2', mode: 'transaction', size: 2, workers: 8, home: 1, strangers: 0.01, ...claimless },
  { name: 't5', mode: 'transaction', size: 5, workers: 14, home: 2, strangers: 0.02, ...calm },
  { name: 's1', mode: 'session', size: 1, workers: 2, home: 0, strangers: 0.02, ...claimless, pause: 400 },
  { name: 's2', mode: 'session', size: 2, workers: 3, home: 1, strangers: 0.02, ...calm, pause: 400 },
  { name: 's5', mode: 'session', size: 5, workers: 6, home: 3, strangers: 0.1, ...claimless, pause: 400 },
  // Two people, so that a connection goes from session to session of one identity all the time.
  { name: 'h2', mode: 'transaction', size: 2, workers: 6, home: 0, strangers: 0, ...claimless, crowd: 2 },
  {
    name: 'hs2',
    mode: 'session',
    size: 2,
    workers: 3,
    home: 1,
    strangers: 0,
    ...claimless,
    crowd: 2,
    pause: 50,
  },
  // The same for cancels: no reset, which would take a late cancel upon itself.
  {
    name: 'c1',
    mode: 'transaction',
    size: 1,
    workers: 5,
    home: 0,
    strangers: 0,
    ...calm,
    crowd: 2,
    work: 'cancels',
  },
  { name: 'rt1', mode: 'transaction', size: 1, workers: 3, home: 3, strangers: 0.02, ...rough },
  { name: 'rt5', mode: 'transaction', size: 5, workers: 6, home: 2, strangers: 0.05, ...rough },
  { name: 'rs2', mode: 'session', size: 2, workers: 3, home: 1, strangers: 0.05, ...rough },
];
