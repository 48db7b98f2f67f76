/** Dozens of identities over a few roles. */

/** Roles that people log in as: `tenant_0` and so on. */
export const ROLES = 4;
const PEOPLE = 64;

/** Somebody with a token of their own. */
export interface Person {
  /** From 1: numbered settings would be written as round times otherwise. */
  readonly number: number;
  /** The token's subject. */
  readonly subject: string;
  readonly role: string;
  /** Leaves what bears no name and breaks things: read-only defaults, time-outs of 2 ms, another role. Nobody else does. */
  readonly wrecker: boolean;
}

/** Everybody: a quarter of each role are wreckers. */
export const people: readonly Person[] = Array.from({ length: PEOPLE }, (_, index) => ({
  number: index + 1,
  subject: `person-${index + 1}`,
  role: `tenant_${index % ROLES}`,
  wrecker: (index >> 2) % 4 === 3,
}));

/** What only this person's rows hold. */
export const wordOf = ({ number, role }: Person): string => `word-${role}-${number}`;
